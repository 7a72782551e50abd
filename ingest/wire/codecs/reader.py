"""Bytes taken one field at a time; taking more than there are is the payload's fault."""

from typing import Literal

from ingest.wire.codecs import short

__all__ = ["Reader"]


class Reader:
    """A position in a payload.

    Parameters
    ----------
    family : str
        Named in errors.
    payload : bytes
    order : "little" or "big"
        How the vendor writes numbers of several bytes.
    """

    __slots__ = ("_order", "at", "family", "payload")

    def __init__(self, family: str, payload: bytes, order: Literal["little", "big"]) -> None:
        self.family = family
        self.payload = payload
        self._order: Literal["little", "big"] = order
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self.payload) - self.at

    def take(self, count: int, what: str = "field") -> bytes:
        """The next bytes.

        Raises
        ------
        MalformedPayloadError
            If there are fewer.
        """
        if count > self.left:
            raise short(
                self.family,
                f"{what} at byte {self.at} needs {count} bytes, {self.left} are left",
                self.payload,
            )
        self.at += count
        return self.payload[self.at - count : self.at]

    def unsigned(self, count: int = 1, what: str = "field") -> int:
        """The next unsigned number of `count` bytes."""
        return int.from_bytes(self.take(count, what), self._order)

    def signed(self, count: int = 1, what: str = "field") -> int:
        """The next signed number of `count` bytes."""
        return int.from_bytes(self.take(count, what), self._order, signed=True)

    def end(self) -> None:
        """Nothing may be left.

        Raises
        ------
        MalformedPayloadError
            If something is.
        """
        if self.left:
            raise short(
                self.family, f"{self.left} bytes too many from byte {self.at}", self.payload
            )
