"""Free text from devices, made harmless."""

import re
import unicodedata
from typing import Final

__all__ = ["INFO_LENGTH", "clean_text"]

INFO_LENGTH: Final = 500
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean_text(text: str) -> str:
    """Free text in NFC, without control and direction characters, at most 500 characters."""
    if text.isascii() and text.isprintable():
        return text[:INFO_LENGTH]
    return _CONTROL.sub("", unicodedata.normalize("NFC", text))[:INFO_LENGTH]
