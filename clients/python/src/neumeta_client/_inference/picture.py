"""Image files as pixels of a network's size."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neumeta_client._errors import InvalidRequest, MissingExtra

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from neumeta_client._types import Input

MODES = {1: "L", 3: "RGB"}


def read_picture(path: Path, wanted: Input, *, invert: bool = False) -> NDArray[uint8]:
    """An image file in the channels, size and layout of ``wanted``, resized without keeping its proportions; ``invert`` swaps dark and light.

    It is turned as its EXIF data say, and what is transparent is white.

    Raises InvalidRequest for a file that is no image, or one of numbers without a known range, MissingExtra when Pillow is not installed.
    """
    try:
        import numpy as np
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed; reading images needs it: pip install 'neumeta-client[run]'.") from error
    channels, height, width = _extent(wanted)
    try:
        with Image.open(path) as opened:
            upright = _in_8_bits(_upright(opened), opened.format)
            picture: Any = _on_white(upright).convert(MODES[channels]).resize((width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # What a decoder raises for a damaged file has no root but this.
        raise InvalidRequest(f"{path} cannot be read as an image: {error}.") from error
    pixels = np.asarray(ImageOps.invert(picture) if invert else picture, dtype=np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1) if wanted.layout == "NCHW" else pixels


def _upright(picture: Picture) -> Picture:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except (struct.error, LookupError, SyntaxError, TypeError, ValueError, ZeroDivisionError):
        # These come of EXIF data that cannot be read; a picture that cannot be is found out by what follows.
        return picture


def _in_8_bits(picture: Picture, kind: str | None) -> Picture:
    """Grey of 16 bits as grey of 8, which Pillow would clip and not scale. Raises ValueError for pixels of 32 bits."""
    import numpy as np
    from PIL import Image

    # Pillow opens a PGM of 16 bits as one of 32, which there is none of; old versions a PNG too.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind in ("PNG", "PPM")):
        grey = np.array(picture, dtype=np.uint16)
        grey[grey == picture.info.get("transparency", -1)] = 65535
        return Image.fromarray(np.rint(grey / 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, and nothing says which number is white; expected 8 or 16 bits")
    return picture


def _on_white(picture: Picture) -> Picture:
    from PIL import Image

    has_color_key = "transparency" in picture.info and picture.mode in ("1", "L", "P", "RGB")
    if not has_color_key and picture.mode not in ("RGBA", "LA", "PA"):
        return picture
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture.convert("RGBA"))
    return white


def _extent(wanted: Input) -> tuple[int, int, int]:
    """Channels, height and width. Raises InvalidRequest for an input that no picture can be."""
    if len(wanted.shape) == 3:
        channels, height, width = wanted.shape if wanted.layout == "NCHW" else (wanted.shape[2], *wanted.shape[:2])
        if channels in MODES:
            return channels, height, width
    raise InvalidRequest(f"This network's input has the shape {wanted.shape} in {wanted.layout}; expected 1 or 3 channels of a picture.")
