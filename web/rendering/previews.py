"""Pictures for link previews: a JPEG with the title, the date, the place and the price."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.ImageFont import FreeTypeFont

SIZE = (1200, 630)
"""Pixels. Most services show previews in this proportion."""

_FONT = Path(__file__).parents[2] / "static" / "vendor" / "dejavu" / "DejaVuSans-Bold.ttf"
_QUALITY = 82
_MARGIN = 64
_TITLE, _TEXT, _NAME = 66, 36, 34
"""Sizes of letters."""
_TITLE_LINES = 3
_INK, _PRICE_INK, _PRICE_GROUND, _GROUND = "#ffffff", "#2a0610", "#ffd166", "#4a0a1c"
_SHADE = 150
"""How much the picture is darkened behind the text, of 255."""
_MISSING = "\U0010ffff"
"""A character that no font has."""


@dataclass(frozen=True)
class Preview:
    """What a picture says."""

    title: str
    when: str = ""
    where: str = ""
    price: str = ""


def render(preview: Preview, picture: bytes | None = None) -> bytes:
    """The JPEG.

    Args:
        picture: WebP that `kit.images` has rendered, for the background.
    """
    image = _background(picture)
    draw = ImageDraw.Draw(image)
    _draw_name(draw)
    bottom: float = SIZE[1] - _MARGIN
    if preview.price:
        bottom = _draw_price(draw, preview.price, bottom)
    for text in (preview.where, preview.when):
        if _can_draw(text):
            bottom -= _TEXT * 1.5
            draw.text((_MARGIN, bottom), _fitted(text, _font(_TEXT)), font=_font(_TEXT), fill=_INK)
    if _can_draw(preview.title):
        lines = list(_wrapped(preview.title, _font(_TITLE)))
        bottom -= _TITLE * 1.2 * len(lines) + _TEXT * 0.4
        for number, line in enumerate(lines):
            draw.text((_MARGIN, bottom + number * _TITLE * 1.2), line, font=_font(_TITLE), fill=_INK)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def _background(picture: bytes | None) -> Image.Image:
    if picture is None:
        return Image.new("RGB", SIZE, _GROUND)
    with Image.open(io.BytesIO(picture), formats=["WEBP"]) as opened:
        image = ImageOps.fit(opened.convert("RGB"), SIZE)
    image.paste(Image.new("RGB", SIZE, "#000000"), mask=Image.new("L", SIZE, _SHADE))
    return image


def _draw_name(draw: ImageDraw.ImageDraw) -> None:
    """The name of the site, with its light as a bar."""
    draw.rectangle((_MARGIN, _MARGIN - 4, _MARGIN + 10, _MARGIN + _NAME + 8), fill=_PRICE_GROUND)
    draw.text((_MARGIN + 28, _MARGIN - 4), "Stagedoor", font=_font(_NAME), fill=_INK)


def _draw_price(draw: ImageDraw.ImageDraw, price: str, bottom: float) -> float:
    """Draw the price as a label above `bottom`. Return the top of the label."""
    font = _font(_TEXT)
    text = _fitted(price, font)
    top = bottom - _TEXT * 1.9
    box = (_MARGIN, top, _MARGIN + draw.textlength(text, font=font) + 48, bottom)
    draw.rounded_rectangle(box, radius=14, fill=_PRICE_GROUND)
    draw.text((_MARGIN + 24, (top + bottom) / 2), text, font=font, fill=_PRICE_INK, anchor="lm")
    return top - _TEXT * 0.5


def _wrapped(text: str, font: FreeTypeFont) -> Iterator[str]:
    """The text in at most `_TITLE_LINES` lines. What doesn't fit is replaced by an ellipsis."""
    words = text.split()
    for number in range(_TITLE_LINES):
        if not words:
            return
        if number == _TITLE_LINES - 1:
            yield _fitted(" ".join(words), font)
            return
        count = 1
        while count < len(words) and _fits(" ".join(words[: count + 1]), font):
            count += 1
        yield _fitted(" ".join(words[:count]), font)
        words = words[count:]


def _fitted(text: str, font: FreeTypeFont) -> str:
    """The text in one line, shortened if necessary."""
    if _fits(text, font):
        return text
    while text and not _fits(f"{text}…", font):
        text = text[:-1]
    return f"{text.rstrip()}…"


def _fits(text: str, font: FreeTypeFont) -> bool:
    return font.getlength(text) <= SIZE[0] - 2 * _MARGIN


def _can_draw(text: str) -> bool:
    """Whether the font has all characters. A text of boxes would be worse than none."""
    return bool(text) and all(each.isspace() or _has(each) for each in text)


@lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    return bytes(_font(_TEXT).getmask(character)) != bytes(_font(_TEXT).getmask(_MISSING))


@lru_cache(maxsize=8)
def _font(size: int) -> FreeTypeFont:
    return ImageFont.truetype(str(_FONT), size)
