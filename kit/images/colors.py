"""Converts colors of any depth, model and profile to those of the web: sRGB with eight bits a channel."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageCms

_SIXTEEN_TO_EIGHT = [(value * 255 + 32_767) // 65_535 for value in range(65_536)]

_GAMMA = 1 / 2.2
"""The gamma of sRGB, as the chunk gAMA of a PNG states it."""
_VISIBLE = 0.05
"""The relative difference of gammas from which a difference is visible."""


def on_white(image: Image.Image) -> Image.Image:
    """The image on a white background, in a mode that can be resized: L, RGB or CMYK."""
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if not image.has_transparency_data:
        if image.mode in ("L", "RGB", "CMYK"):
            return image
        return image.convert("L" if image.mode == "1" else "RGB")
    transparent = image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    opaque = Image.new("L" if transparent.mode == "LA" else "RGB", image.size, "white")
    opaque.paste(transparent, mask=transparent)
    return opaque


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits to eight. Pillow's own conversion makes every value above 255 white."""
    scaled = image.convert("I").point(_SIXTEEN_TO_EIGHT, "L")
    transparent = image.info.get("transparency")
    if transparent is not None:
        scaled.info["transparency"] = _SIXTEEN_TO_EIGHT[transparent]
    return scaled


def to_srgb(image: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """Convert an image in mode L, RGB or CMYK.

    Args:
        info: what the file says about its colors, as Pillow reads it. A profile that is broken or of another
            color model is ignored, as browsers do.
    """
    profile = info.get("icc_profile")
    if profile:
        try:
            return _from_profile(image, profile)
        except (ImageCms.PyCMSError, OSError):
            profile = None
    gamma = info.get("gamma")
    plain = image.convert("RGB")
    if gamma and "srgb" not in info and abs(gamma / _GAMMA - 1) > _VISIBLE:
        return plain.point([round(255 * (value / 255) ** (_GAMMA / gamma)) for value in range(256)] * 3)
    return plain


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # it would be None if the image were changed in place
    return converted
