"""Messages at the greatest rate, as a process of its own: as a broker that streams, or through one.

`serve PORT N READINGS` accepts one subscriber and streams to it; `publish PORT N READINGS` sends to
a broker at QoS 1. Packets are encoded before the clock starts. `flood PORT PER_SECOND SECONDS` is
one device that sends far too much.
"""

import contextlib
import json
import os
import socket
import sys
import time

import mqtt5

WINDOW = 1000
DEVICES = 1000
BORN_MS = time.time_ns() // 1_000_000 - int(os.environ.get("LJUSVAKT_BENCH_AGE_S", "60")) * 1000
STEP_MS = 10  # so close together that none is ahead of the clock
QOS1 = mqtt5.QoS.AT_LEAST_ONCE
PUBACK = b"\x40\x02"
# Without the bytes of a PUBACK's head, so that acknowledgements can be counted, not parsed.
IDS = [i for i in range(1, 1 << 16) if i & 0xFF != 0x40 and i >> 8 != 0x40]


def payload(number: int, readings: int) -> bytes:
    """A native message: one reading, or a batch of columns."""
    seq = number // DEVICES * readings
    body: dict[str, object] = {"boot": 3, "seq": seq}
    at_ms = BORN_MS + seq * STEP_MS + number % DEVICES
    if readings == 1:
        body |= {"t": at_ms, "v": 21.5 + number % 10}
    else:
        body |= {
            "t0": at_ms,
            "dt": [STEP_MS * i for i in range(readings)],
            "v": [21.5 + i for i in range(readings)],
        }
    return json.dumps(body).encode()


def packets(n: int, readings: int) -> list[bytes]:
    """PUBLISH packets; the packet ids come again after some 65,000."""
    return [
        mqtt5.PublishPacket(
            f"ljusvakt/v1/g1/HBG-L-{i % DEVICES:05}/illuminance_lx",
            payload(i, readings),
            qos=QOS1,
            packet_id=IDS[i % len(IDS)],
        ).write()
        for i in range(n)
    ]


def without_properties(publish: bytes) -> bytes:
    """The same packet in MQTT 3.1.1, which has no properties after the packet id."""
    body = publish[2:] if publish[1] < 128 else publish[3:]
    properties = 2 + int.from_bytes(body[:2], "big") + 2
    body = body[:properties] + body[properties + 1 :]
    size = len(body)
    head = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return publish[:1] + head + body


def stream(sock: socket.socket, todo: list[bytes], window: int) -> None:
    """Send all, with at most `window` unacknowledged."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = acknowledged = 0
    rest = b""
    while acknowledged < len(todo):
        upto = min(len(todo), acknowledged + window)
        if upto > sent:
            sock.sendall(b"".join(todo[sent:upto]))
            sent = upto
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectionError("the other end has gone")
        acknowledged += (rest + data).count(PUBACK)
        rest = data[-1:] if data[-1:] == PUBACK[:1] else b""


def packet(sock: socket.socket) -> bytes:
    """One short packet."""
    data = sock.recv(4096)
    while len(data) < 2 or len(data) < 2 + data[1]:
        data += sock.recv(4096)
    return data


def serve(port: int, n: int, readings: int, window: int) -> None:
    """Be the broker of one subscriber."""
    todo = packets(n, readings)
    listener = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    sock, _ = listener.accept()
    head = packet(sock)
    if head[8] == 5:
        sock.sendall(mqtt5.ConnAckPacket().write())
        subscribe = packet(sock)
        filters, _ = mqtt5.read(subscribe)
        codes = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(filters.topic_filters)  # type: ignore[union-attr]
        sock.sendall(mqtt5.SubAckPacket(filters.packet_id, codes).write())  # type: ignore[union-attr]
    else:
        todo = [without_properties(one) for one in todo]
        sock.sendall(b"\x20\x02\x00\x00")
        subscribe = packet(sock)
        sock.sendall(b"\x90\x03" + subscribe[2:4] + b"\x01")
    # A subscriber that has its last message may leave before we have its last acknowledgement.
    with contextlib.suppress(ConnectionError):
        stream(sock, todo, window)
        sock.recv(100)


def publish(port: int, n: int, readings: int, window: int) -> None:
    """Be a publisher; ends when the broker has confirmed all."""
    todo = packets(n, readings)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(mqtt5.ConnectPacket("load", clean_start=True, keep_alive=60).write())
    packet(sock)
    print("ready", flush=True)
    sys.stdin.readline()
    stream(sock, todo, window)
    sock.sendall(mqtt5.DisconnectPacket().write())


def flood(port: int, per_second: int, seconds: int) -> None:
    """One device that sends at this rate; 0 = as fast as the broker confirms."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(mqtt5.ConnectPacket("flood", clean_start=True, keep_alive=60).write())
    packet(sock)
    print("ready", flush=True)
    began_s = time.monotonic()
    sent = 0
    while (so_far_s := time.monotonic() - began_s) < seconds:
        due = sent + WINDOW if not per_second else int(so_far_s * per_second) + 1
        if due > sent:
            todo = [
                mqtt5.PublishPacket(
                    "ljusvakt/v1/g1/flood/illuminance_lx",
                    b'{"t":%d,"v":1}' % (time.time_ns() // 1_000_000),
                    qos=QOS1,
                    packet_id=IDS[i % len(IDS)],
                ).write()
                for i in range(sent, due)
            ]
            stream(sock, todo, WINDOW)
            sent = due
        time.sleep(0.002)
    print(json.dumps({"sent": sent}), flush=True)


if __name__ == "__main__":
    what, port, n, m = sys.argv[1], *map(int, sys.argv[2:5])
    match what:
        case "serve":
            serve(port, n, m, WINDOW)
        case "publish":
            publish(port, n, m, WINDOW)
        case "flood":
            flood(port, n, m)
