"""A city that reports while others are measured: `city_load.py PORT DEVICES RATE`.

Each device in turn sends one reading of light at QoS 1, RATE messages a second altogether, until
the process is ended.
"""

import json
import socket
import sys
import threading
import time

import mqtt5

TURN_S = 0.1


def reading(number: int, sequence: int) -> bytes:
    """What device `d<number>` measures now."""
    now_ms = time.time_ns() // 1_000_000
    body = {"boot": 3, "seq": sequence, "t": now_ms, "v": 12.5}
    return mqtt5.PublishPacket(
        f"ljusvakt/v1/g1/d{number}/illuminance_lx",
        json.dumps(body).encode(),
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=1 + sequence % 60_000,
    ).write()


def main(port: int, devices: int, rate: int) -> None:
    """Publish for ever, evenly."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(mqtt5.ConnectPacket("city", clean_start=True, keep_alive=600).write())
    threading.Thread(target=lambda: [0 for _ in iter(lambda: sock.recv(1 << 16), b"")]).start()
    sequence, begun = 0, time.monotonic()
    while True:
        due = int((time.monotonic() - begun) * rate)
        packets = [reading(1 + n % devices, n) for n in range(sequence, due)]
        sock.sendall(b"".join(packets))
        sequence = due
        time.sleep(TURN_S)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
