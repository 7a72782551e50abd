"""The readings of one commit, of one quantity and UTC day, as one blob of columns.

Rows that follow each other in one message share device, receive time and flags; these are written
once for each such run, and times as the distance from the earliest. So a reading that came alone
takes 21 bytes and one of a long message 13. Blobs of 29 bytes a row are what earlier versions
wrote, and what is written where distances are too long.
"""

import struct
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "blob_of", "row_count", "rows_of"]

PLAIN_BYTES: Final = 29
"""int32 device | int64 time | float64 value | int64 received | uint8 flags"""

HEAD: Final = struct.Struct("<iIIqq")
"""The mark, rows, runs, earliest time and earliest receive time."""
MARK: Final = -2
"""In the place of a device number, which is above 0."""


class Rows(NamedTuple):
    """Columns of one length; devices by their number in the journal."""

    device: npt.NDArray[np.int32]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    received_ms: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]

    def chosen(self, which: npt.NDArray[np.bool_]) -> "Rows":
        """Those that a mask picks."""
        return Rows(
            self.device[which],
            self.time_ms[which],
            self.value[which],
            self.received_ms[which],
            self.flags[which],
        )


def blob_of(rows: Rows) -> bytes:
    """Columns as a blob; the reverse of `rows_of`.

    Parameters
    ----------
    rows : Rows
        At least one.
    """
    device, time_ms, value, received_ms, flags = rows
    n = len(time_ms)
    time_0, received_0 = int(time_ms.min()), int(received_ms.min())
    if max(int(time_ms.max()) - time_0, int(received_ms.max()) - received_0) >= 1 << 32:
        return _plain(rows)
    begins = np.ones(n, np.bool_)
    begins[1:] = device[1:] != device[:-1]
    begins[1:] |= received_ms[1:] != received_ms[:-1]
    begins[1:] |= flags[1:] != flags[:-1]
    first = np.flatnonzero(begins)
    lengths: tuple[bytes, ...] = ()
    if len(first) < n:
        device, received_ms, flags = device[first], received_ms[first], flags[first]
        lengths = (np.diff(first, append=n).astype("<u4").tobytes(),)
    return b"".join(
        (
            HEAD.pack(MARK, n, len(first), time_0, received_0),
            device.astype("<i4", copy=False).tobytes(),
            (received_ms - received_0).astype("<u4").tobytes(),
            *lengths,
            (time_ms - time_0).astype("<u4").tobytes(),
            value.astype("<f8", copy=False).tobytes(),
            flags.tobytes(),
        )
    )


def _plain(rows: Rows) -> bytes:
    return b"".join(
        (
            rows.device.astype("<i4", copy=False).tobytes(),
            rows.time_ms.astype("<i8", copy=False).tobytes(),
            rows.value.astype("<f8", copy=False).tobytes(),
            rows.received_ms.astype("<i8", copy=False).tobytes(),
            rows.flags.tobytes(),
        )
    )


def row_count(b: bytes) -> int:
    """How many rows a blob holds."""
    mark, n = struct.unpack_from("<iI", b)
    return int(n) if mark == MARK else len(b) // PLAIN_BYTES


def rows_of(b: bytes) -> Rows:
    """The columns of a blob."""
    n = row_count(b)
    if n * PLAIN_BYTES == len(b) and int.from_bytes(b[:4], "little", signed=True) != MARK:
        return Rows(
            np.frombuffer(b, np.dtype("<i4"), n, 0),
            np.frombuffer(b, np.dtype("<i8"), n, 4 * n),
            np.frombuffer(b, np.dtype("<f8"), n, 12 * n),
            np.frombuffer(b, np.dtype("<i8"), n, 20 * n),
            np.frombuffer(b, np.uint8, n, 28 * n),
        )
    _, _, runs, time_0, received_0 = HEAD.unpack_from(b)
    at = HEAD.size
    device = np.frombuffer(b, np.dtype("<i4"), runs, at)
    at += 4 * runs
    received_ms = np.frombuffer(b, np.dtype("<u4"), runs, at).astype(np.int64) + received_0
    at += 4 * runs
    lengths = np.frombuffer(b, np.dtype("<u4"), runs if runs < n else 0, at)
    at += 4 * len(lengths)
    time_ms = np.frombuffer(b, np.dtype("<u4"), n, at).astype(np.int64) + time_0
    at += 4 * n
    value = np.frombuffer(b, np.dtype("<f8"), n, at)
    at += 8 * n
    flags = np.frombuffer(b, np.uint8, runs, at)
    if runs < n:
        device, received_ms, flags = (
            device.repeat(lengths),
            received_ms.repeat(lengths),
            flags.repeat(lengths),
        )
    return Rows(device, time_ms, value, received_ms, flags)
