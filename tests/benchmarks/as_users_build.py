"""paho-mqtt and influxdb-client's batching mode, put together as their documentation shows.

Generous in one thing: the session is persistent and the client id fixed, which the examples leave
out. `PORT INFLUX_URL BUCKET`.
"""

import json
import sys

import paho.mqtt.client as mqtt
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision

port, url, bucket = int(sys.argv[1]), sys.argv[2], sys.argv[3]
writer = InfluxDBClient(url=url, token="", org="").write_api(
    write_options=WriteOptions(batch_size=500, flush_interval=1_000)
)


def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
    _, _, _, device, quantity = message.topic.split("/")
    body = json.loads(message.payload)
    point = Point(quantity).tag("device", device).field("value", body["v"])
    writer.write(bucket, record=point.time(body["t"], WritePrecision.MS))


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="users", clean_session=False)
client.on_connect = lambda c, *_: c.subscribe("ljusvakt/v1/+/+/illuminance_lx", 1)
client.on_subscribe = lambda *_: print("ready", flush=True)
client.on_message = on_message
client.connect("127.0.0.1", port)
client.loop_forever()
