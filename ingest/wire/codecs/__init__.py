"""LoRaWAN payload codecs, one device family a file.

A codec is a module with `FAMILY`, `MODELS` and `decode(payload, port, *, model)`, a pure function
from bytes to what they say in our quantities. Fields of the vendor that the product has no use for
are recognised and left out; bytes that the published format does not explain are an error, so that
nothing is ever half read.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Final, Protocol, cast

import msgspec

from ingest.errors import MalformedPayloadError, Reason, UnknownCodecError
from ingest.reading import Quantity

__all__ = [
    "FAMILIES",
    "Codec",
    "Report",
    "Value",
    "codec",
    "family_of_profile",
    "lengths",
    "short",
    "unknown",
]

FAMILIES: Final = ("nas", "elsys", "milesight", "imbuildings", "terabee", "cayenne_lpp")
"""Families by name; `codec` gives the module."""

# Words of a device profile's name that name a family beyond doubt.
_PROFILE_WORDS: Final = {
    "nas": ("nas-", "nasys", "ul20", "ul-20", "lcu"),
    "elsys": ("elsys",),
    "milesight": ("milesight",),
    "imbuildings": ("imbuildings", "imbuilding"),
    "terabee": ("terabee",),
    "cayenne_lpp": ("cayenne",),
}


class Value(msgspec.Struct, frozen=True, gc=False):
    """One value of one quantity.

    Attributes
    ----------
    quantity : Quantity
    value : float
    time_ms : int or None
        When it was so, if the payload says; None = when the network server heard it.
    channel : str
        Which of several sensors of the same quantity; empty for the first or only one.
    """

    quantity: Quantity
    value: float
    time_ms: int | None = None
    channel: str = ""


class Report(msgspec.Struct, frozen=True, gc=False):
    """One fault report; see `ingest.reading.Event`."""

    event: str
    active: bool | None
    info: str = ""
    time_ms: int | None = None


class Codec(Protocol):
    """A module that reads one family of devices."""

    FAMILY: str
    MODELS: Sequence[str]

    def decode(self, payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
        """Read one payload.

        Raises
        ------
        UnknownCodecError
            If the family's published format does not know the port, type or version.
        MalformedPayloadError
            If the bytes contradict the format; names them.
        """
        ...


@lru_cache(maxsize=len(FAMILIES))
def _load(family: str) -> Codec:
    return cast("Codec", import_module(f"ingest.wire.codecs.{family}"))


def codec(family: str) -> Codec:
    """The codec of a family.

    Raises
    ------
    UnknownCodecError
        If there is none of that name.
    """
    if family not in FAMILIES:
        raise UnknownCodecError(f"there is no codec {family!r}; known: {', '.join(FAMILIES)}")
    return _load(family)


def family_of_profile(profile: str) -> str | None:
    """The one family that a device profile's name names; None if none or several do."""
    name = profile.casefold()
    named = [family for family, words in _PROFILE_WORDS.items() if any(w in name for w in words)]
    return named[0] if len(named) == 1 else None


def lengths(table: str, *, base: int) -> dict[int, int]:
    """A table of `type:bytes` pairs; types in the given base, lengths in decimal."""
    pairs = (pair.split(":") for pair in table.split())
    return {int(kind, base): int(length) for kind, length in pairs}


def unknown(family: str, what: str, payload: bytes) -> UnknownCodecError:
    """The error for a port, type or version that the family's format does not have."""
    return UnknownCodecError(f"{family}: {what} is unknown (bytes {payload.hex()})")


def short(family: str, what: str, payload: bytes) -> MalformedPayloadError:
    """The error for bytes that end too early, or go on too long."""
    return MalformedPayloadError(
        f"{family}: {what} (bytes {payload.hex() or 'none'})", reason=Reason.SHAPE
    )
