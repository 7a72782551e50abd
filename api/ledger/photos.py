"""Photos encoded anew: the picture stays, where and by whom it was taken does not."""

import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from api.errors import BadInputError

__all__ = ["Photo", "clean_photo"]

MAX_BYTES = 15_000_000
MAX_PIXELS = 50_000_000
LONG_SIDE = 1600


@dataclass(frozen=True, slots=True)
class Photo:
    """A JPEG without metadata."""

    content: bytes
    media_type: str
    width: int
    height: int


def clean_photo(content: bytes) -> Photo:
    """The picture alone, turned upright, at most 1600 pixels long, as JPEG.

    Raises
    ------
    BadInputError
        If it is too large, or no JPEG, PNG or WebP picture.
    """
    if len(content) > MAX_BYTES:
        raise BadInputError(f"the photo has {len(content)} bytes; {MAX_BYTES} are possible.")
    try:
        # Only these three decoders ever see bytes from outside.
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as found:
            if found.width * found.height > MAX_PIXELS:  # judged from the header, before decoding
                raise BadInputError(f"the photo has more than {MAX_PIXELS} pixels.")
            upright = ImageOps.exif_transpose(found).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInputError("this is no JPEG, PNG or WebP picture.") from error
    upright.thumbnail((LONG_SIDE, LONG_SIDE))
    # A new image: nothing that hung on the old one (EXIF, XMP, comments, profiles) comes along.
    bare = Image.new("RGB", upright.size)
    bare.paste(upright)
    kept = io.BytesIO()
    bare.save(kept, "JPEG", quality=85)
    return Photo(kept.getvalue(), "image/jpeg", bare.width, bare.height)
