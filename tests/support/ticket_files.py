"""Files of tickets, valid and broken ones."""

import io
import json
import warnings
import zipfile
from collections.abc import Iterable, Sequence

import zxingcpp
from PIL import Image, ImageDraw

A4 = (827, 1169)
"""The pixels of a page of A4 at 100 dots per inch."""


def code_image(text: str, kind: zxingcpp.BarcodeFormat = zxingcpp.BarcodeFormat.QRCode) -> Image.Image:
    """A barcode with this content."""
    drawn = zxingcpp.write_barcode_to_image(zxingcpp.create_barcode(text, kind), scale=5)
    height, width = drawn.shape[:2]
    pixels = bytes(memoryview(drawn))  # type: ignore[arg-type] # it has a buffer
    return Image.frombytes("L", (width, height), pixels)


def page(*codes: str | Image.Image, text: str = "Admit one") -> Image.Image:
    """A page with these barcodes below each other."""
    sheet = Image.new("L", A4, "white")
    ImageDraw.Draw(sheet).text((80, 40), text, fill="black")
    for number, code in enumerate(codes):
        image = code_image(code) if isinstance(code, str) else code
        sheet.paste(image, (80, 100 + 250 * number))
    return sheet


def pdf(*pages: Sequence[str], text: str = "Admit one") -> bytes:
    """A PDF, whose pages have these codes."""
    sheets = [page(*codes, text=text) for codes in pages]
    file = io.BytesIO()
    sheets[0].save(file, "PDF", save_all=True, append_images=sheets[1:], resolution=100)
    return file.getvalue()


def image(*codes: str, kind: str = "PNG") -> bytes:
    """A picture of a page with these codes."""
    file = io.BytesIO()
    page(*codes).save(file, kind)
    return file.getvalue()


def wallet_pass(message: str | None, serial: str = "1") -> bytes:
    """An Apple Wallet pass with this barcode."""
    return wallet_pass_of([message] if message else [], serial)


def wallet_pass_of(messages: Iterable[str], serial: str = "1") -> bytes:
    """An Apple Wallet pass with these barcodes."""
    return archive({"pass.json": _described(messages, serial), "icon.png": b"icon"})


def pass_with_two_contents(*messages: str) -> bytes:
    """A pass whose archive has several files of the same name, so that readers differ in which one counts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed, warnings.catch_warnings(action="ignore"):
        for message in messages:
            packed.writestr("pass.json", _described([message], "1"))
    return file.getvalue()


def _described(messages: Iterable[str], serial: str) -> str:
    codes = [{"format": "PKBarcodeFormatQR", "message": message} for message in messages]
    described = {"formatVersion": 1, "passTypeIdentifier": "pass.example", "serialNumber": serial}
    return json.dumps({**described, **({"barcodes": codes} if codes else {})})


def archive(files: dict[str, str | bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return file.getvalue()


def plain_pdf(pages: int, *, size: int = 200, trailer: str = "") -> bytes:
    """A PDF of empty pages, written object by object."""
    kids = " ".join(f"{number + 3} 0 R" for number in range(pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {pages} /Kids [{kids}] >>",
        *[f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size} {size}] >>"] * pages,
    ]
    body, offsets = "%PDF-1.4\n", []
    parts = [body]
    length = len(body)
    for number, described in enumerate(objects, start=1):
        offsets.append(length)
        parts.append(f"{number} 0 obj\n{described}\nendobj\n")
        length += len(parts[-1])
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    parts.append(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}")
    parts.append(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\n")
    parts.append(f"startxref\n{length}\n%%EOF\n")
    return "".join(parts).encode("latin-1")


def encrypted_pdf() -> bytes:
    """A PDF that only a password opens."""
    key = "00" * 32
    encryption = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >> /ID [<00> <00>]"
    return plain_pdf(1, trailer=encryption)
