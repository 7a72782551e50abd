"""Native messages (`json_v1`) as `docs/wire.md` describes them."""

from collections.abc import Mapping, Sequence

import msgspec

__all__ = [
    "Batch",
    "NumberedBatch",
    "ack_topic",
    "encode_events",
    "encode_json",
    "encode_readings",
    "numbered",
    "parse_ack",
    "topic",
]

encode_json = msgspec.json.Encoder().encode


class Ack(msgspec.Struct):
    """A receipt: every row of this boot up to `seq` is durable."""

    boot: int
    seq: int


class Batch(msgspec.Struct):
    """Readings of several quantities at the same times; the fields in the order they are sent."""

    t0: int
    dt: list[int]
    q: Mapping[str, Sequence[float | int | None]]
    simulated: bool | msgspec.UnsetType = msgspec.UNSET


class NumberedBatch(msgspec.Struct):
    """The same with the device's numbering in front."""

    boot: int
    seq: int
    t0: int
    dt: list[int]
    q: Mapping[str, Sequence[float | int | None]]
    simulated: bool | msgspec.UnsetType = msgspec.UNSET


class Rows(msgspec.Struct):
    """Of a message how many rows it has."""

    dt: list[int]


rows_decoder = msgspec.json.Decoder(Rows)
ack_decoder = msgspec.json.Decoder(Ack)


def topic(group: str, device: str, kind: str) -> str:
    """Where a device publishes: `ljusvakt/v1/<group>/<device>/<kind>`."""
    return f"ljusvakt/v1/{group}/{device}/{kind}"


def ack_topic(group: str, device: str) -> str:
    """Where a device hears its receipts."""
    return topic(group, device, "ack")


def encode_readings(
    time_ms: Sequence[int],
    columns: Mapping[str, Sequence[float | int | None]],
    *,
    boot: int | None = None,
    seq: int | None = None,
    simulated: bool = True,
) -> bytes:
    """A batch of several quantities at the same times.

    Parameters
    ----------
    time_ms : sequence of int
        In any order; times more than 24 days apart do not fit in one message.
    columns : mapping of str to sequence
        Quantity to values; None where not known.
    boot, seq : int, optional
        Both or neither: restarts of the device, number of the first row.
    """
    t0 = min(time_ms)
    dt, mark = [t - t0 for t in time_ms], True if simulated else msgspec.UNSET
    if boot is None or seq is None:
        return encode_json(Batch(t0, dt, columns, mark))
    return encode_json(NumberedBatch(boot, seq, t0, dt, columns, mark))


def encode_events(
    time_ms: int,
    event: str,
    *,
    active: bool | None,
    info: str = "",
    boot: int | None = None,
    seq: int | None = None,
    simulated: bool = True,
) -> bytes:
    """One fault report."""
    report: dict[str, object] = {"event": event}
    if active is not None:
        report["active"] = active
    if info:
        report["info"] = info
    message: dict[str, object] = {} if boot is None else {"boot": boot, "seq": seq}
    message |= {"t0": time_ms, "dt": [0], "e": [report]}
    if simulated:
        message["simulated"] = True
    return encode_json(message)


def numbered(payload: bytes, boot: int, seq: int) -> tuple[bytes, int]:
    """A message of this module that bears no numbers yet, numbered; and the next row's number."""
    rows = len(rows_decoder.decode(payload).dt)
    return b'{"boot":%d,"seq":%d,' % (boot, seq) + payload[1:], (seq + rows) % 2**32


def parse_ack(payload: bytes) -> tuple[int, int] | None:
    """Boot and sequence of a receipt; None for anything else."""
    try:
        ack = ack_decoder.decode(payload)
    except msgspec.MsgspecError:
        return None
    return ack.boot, ack.seq
