"""The readings of one commit, of one quantity and UTC day, as one blob of columns."""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["ROW_BYTES", "blob_of", "rows_of"]

ROW_BYTES: Final = 29
"""int32 device | int64 time | float64 value | int64 received | uint8 flags"""


def rows_of(
    b: bytes,
) -> tuple[
    npt.NDArray[np.int32],
    npt.NDArray[np.int64],
    npt.NDArray[np.float64],
    npt.NDArray[np.int64],
    npt.NDArray[np.uint8],
]:
    """The five columns of a blob."""
    n = len(b) // ROW_BYTES
    return (
        np.frombuffer(b, np.dtype("<i4"), n, 0),
        np.frombuffer(b, np.dtype("<i8"), n, 4 * n),
        np.frombuffer(b, np.dtype("<f8"), n, 12 * n),
        np.frombuffer(b, np.dtype("<i8"), n, 20 * n),
        np.frombuffer(b, np.uint8, n, 28 * n),
    )


def blob_of(
    device: npt.NDArray[np.int32],
    time_ms: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    received_ms: npt.NDArray[np.int64],
    flags: npt.NDArray[np.uint8],
) -> bytes:
    """Columns of one length as a blob; the reverse of `rows_of`."""
    return b"".join(
        (
            device.astype("<i4", copy=False).tobytes(),
            time_ms.astype("<i8", copy=False).tobytes(),
            value.astype("<f8", copy=False).tobytes(),
            received_ms.astype("<i8", copy=False).tobytes(),
            flags.tobytes(),
        )
    )
