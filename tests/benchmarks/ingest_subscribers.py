"""Subscribers to compare, each as a process: `KIND PORT N FOLDER` prints what it took.

raw: a socket, framing in Python, acknowledgements in one write; the limit.
paho: paho-mqtt as its documentation shows it, which acknowledges by itself; keeps nothing.
mqtt5, compatible, compatible_3_1_1: our collector with everything on (decode, plausibility,
repeats, receipts, journal with synchronous FULL, acknowledgement after the commit), by either
source; in 3.1.1 a broker without MQTT 5 is spoken to.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FILTER = "ljusvakt/v1/+/+/illuminance_lx"


class Stopwatch:
    """From the first message to the last: real time, and this process's time on the processor."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.came = 0
        self.began_s = 0.0

    def count(self, messages: int) -> bool:
        """Whether these were the last."""
        if not self.began_s:
            self.began_s, self.cpu_s = time.perf_counter(), time.process_time()
        self.came += messages
        return self.came >= self.n

    def tell(self) -> None:
        print(
            json.dumps(
                {
                    "messages": self.came,
                    "seconds": time.perf_counter() - self.began_s,
                    "cpu_s": time.process_time() - self.cpu_s,
                }
            )
        )


def raw(port: int, n: int, _folder: Path) -> None:
    import mqtt5

    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        mqtt5.ConnectPacket("bench", clean_start=True, keep_alive=60, receive_max=1000).write()
    )
    sock.recv(1000)
    sock.sendall(
        mqtt5.SubscribePacket(
            1, [mqtt5.TopicFilter(FILTER, max_qos=mqtt5.QoS.AT_LEAST_ONCE)]
        ).write()
    )
    rest = sock.recv(1 << 16)
    rest = rest[2 + rest[1] :]  # SUBACK, and perhaps what follows it
    print("ready", flush=True)
    watch = Stopwatch(n)
    done = False
    while not done:
        data = rest + sock.recv(1 << 18)
        at, end = 0, len(data)
        acknowledgements: list[bytes] = []
        while at + 5 < end:
            size, body = data[at + 1], at + 2
            if size >= 128:
                size = (size & 127) | (data[at + 2] << 7)
                body = at + 3
            if body + size > end:
                break
            name_size = data[body] << 8 | data[body + 1]
            identity = body + 2 + name_size
            acknowledgements.append(b"\x40\x02" + data[identity : identity + 2])
            at = body + size
        rest = data[at:]
        done = watch.count(len(acknowledgements))
        sock.sendall(b"".join(acknowledgements))
    watch.tell()


def paho(port: int, n: int, _folder: Path) -> None:
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench", protocol=mqtt.MQTTv5)
    watch = Stopwatch(n)

    def on_message(_client: object, _data: object, _message: object) -> None:
        if watch.count(1):
            client.disconnect()

    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_connect = lambda c, *_: c.subscribe(FILTER, 1)
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = 1000
    client.connect("127.0.0.1", port, 60, properties=properties)
    client.loop_forever()
    watch.tell()


def collector(kind: str, port: int, n: int, folder: Path) -> None:
    from ingest.collector import Collector
    from ingest.devices import DeviceEntry, Registry
    from ingest.journal import Journal
    from ingest.settings import MqttSettings
    from ingest.sources.mqtt5 import Mqtt5Source
    from ingest.sources.paho import PahoSource

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    async def main() -> None:
        journal = Journal(folder / "journal.db", quota_bytes=4 << 30, now_ms=now_ms)
        protocol = "3.1.1" if kind.endswith("3_1_1") else "auto"
        settings = MqttSettings(port=port, client_id="bench", filters=(FILTER,), protocol=protocol)
        source = (Mqtt5Source if kind == "mqtt5" else PahoSource)(settings)
        registry = Registry([DeviceEntry(f"HBG-L-{i:05}", interval_s=600.0) for i in range(33_000)])
        watch = Stopwatch(n)
        finished = asyncio.Event()
        ack = source.ack

        def counted(tokens: Sequence[int]) -> None:
            ack(tokens)
            if watch.count(len(tokens)):
                finished.set()

        source.ack = counted  # type: ignore[method-assign]
        one = Collector(source, journal, registry=lambda: registry, now_ms=now_ms)
        deliver = one._deliver

        def first(messages: Sequence[tuple[str, bytes, int, bool, int]]) -> None:
            watch.count(0)
            one._deliver = deliver  # type: ignore[method-assign]
            deliver(messages)

        one._deliver = first  # type: ignore[method-assign]
        running = asyncio.create_task(one.run())
        while not source.status.connected:  # noqa: ASYNC110 - sets no event
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await finished.wait()
        watch.tell()
        counters = journal.counters()
        assert counters.balanced, counters
        assert counters.other["messages"] == n, counters
        assert not counters.quarantined, counters
        await one.stop()
        await running
        journal.close()

    asyncio.run(main())


if __name__ == "__main__":
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    chosen, port, n, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    if chosen == "raw":
        raw(port, n, folder)
    elif chosen == "paho":
        paho(port, n, folder)
    else:
        collector(chosen, port, n, folder)
