"""What counts as an empty page, and what doesn't."""

import io
import random

import pytest
from PIL import Image, ImageDraw, ImageFilter

from services.tickets.files.blankness import is_blank
from services.tickets.files.contents import BlankFile, FileLimits
from services.tickets.files.inspection import inspect
from tests.support.ticket_files import code_image, page, pdf, plain_pdf

A4 = (1240, 1754)
"""The pixels of a page at 150 dots per inch."""


def paper(shade: int = 255) -> Image.Image:
    return Image.new("L", A4, shade)


def noisy() -> Image.Image:
    """A photo of empty paper: uneven light, and the noise of the camera."""
    light = Image.linear_gradient("L").resize(A4).point([180 + value // 5 for value in range(256)])
    grain = Image.frombytes("L", A4, random.Random(7).randbytes(A4[0] * A4[1]))  # noqa: S311 - repeatable
    return Image.blend(light, grain, 0.03)


def written(text: str, shade: int = 0) -> Image.Image:
    sheet = paper()
    ImageDraw.Draw(sheet).text((600, 900), text, fill=shade)
    return sheet


def small_code(scale: float) -> Image.Image:
    """A page with a code that is too small, or too blurred, to be read."""
    sheet = paper()
    code = code_image("TICKET-1234").resize((45, 45)).filter(ImageFilter.GaussianBlur(scale))
    sheet.paste(code, (1000, 1500))
    return sheet


@pytest.mark.parametrize(
    "sheet",
    [paper(), paper(0), paper(128), Image.linear_gradient("L").resize(A4), noisy(), Image.new("L", (3, 3))],
    ids=["white", "black", "gray", "shade", "photo of paper", "tiny"],
)
def test_an_empty_page_is_blank(sheet: Image.Image) -> None:
    assert is_blank(sheet)


@pytest.mark.parametrize(
    "sheet",
    [written("A12"), written("Row 4", 120), small_code(0.5), small_code(2), page(text="Admit one")],
    ids=["three letters", "gray print", "small code", "blurred code", "page"],
)
def test_little_content_is_not_blank(sheet: Image.Image) -> None:
    assert not is_blank(sheet)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_empty_picture_is_refused(kind: str) -> None:
    file = io.BytesIO()
    paper().save(file, kind)
    with pytest.raises(BlankFile):
        inspect(file.getvalue(), FileLimits())


def test_a_transparent_picture_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(file, "PNG")
    with pytest.raises(BlankFile):
        inspect(file.getvalue(), FileLimits())


def test_a_pdf_of_empty_pages_is_refused() -> None:
    with pytest.raises(BlankFile):
        inspect(plain_pdf(3), FileLimits())


def test_an_empty_back_is_not_a_ticket() -> None:
    sheets = [page(text="Admit one"), Image.new("L", A4, "white")]
    file = io.BytesIO()
    sheets[0].save(file, "PDF", save_all=True, append_images=sheets[1:], resolution=100)
    found = inspect(file.getvalue(), FileLimits())
    assert (found.seats, list(found.codes)) == (1, [])


def test_pages_without_a_code_count_as_before() -> None:
    assert inspect(pdf([], []), FileLimits()).seats == 2
