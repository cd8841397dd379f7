"""What decoding a picture can result in, without the libraries that decode it."""

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import Invalid, ServiceError, UnsupportedMediaType

log = logging.getLogger(__name__)

MIN_SIDE = 16


class NotAPicture(UnsupportedMediaType):
    message = "The picture must be a JPEG, PNG or WebP"


class UnreadablePicture(Invalid):
    message = "The picture can't be read. Try another one"


class PictureTooLarge(Invalid):
    message = "The picture has too many pixels"


class PictureTooSmall(Invalid):
    message = f"The picture must be at least {MIN_SIDE} pixels wide and high"


class PictureTooComplex(Invalid):
    """Decoding takes more scans, CPU time or memory than allowed."""

    message = "The picture takes too long to process. Save it with another program, or try another one"


@dataclass(frozen=True)
class Rendered:
    """A picture in two sizes, as WebP without metadata."""

    small: bytes
    large: bytes

    @property
    def name(self) -> str:
        """The hash of both images, under which the picture is stored."""
        return hashlib.sha256(self.small + self.large).hexdigest()


@dataclass(frozen=True)
class Photo:
    """A whole photo, as JPEG without metadata."""

    content: bytes


_ERRORS = {
    kind.__name__: kind
    for kind in (NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex)
}


def to_json(result: Rendered | Photo | ServiceError) -> str:
    """Encode a result for another process. An error must be one of this module."""
    if isinstance(result, Rendered):
        images = {"small": result.small, "large": result.large}
        return json.dumps({name: base64.b64encode(image).decode() for name, image in images.items()})
    if isinstance(result, Photo):
        return json.dumps({"photo": base64.b64encode(result.content).decode()})
    reason = None if result.__cause__ is None else repr(result.__cause__)
    return json.dumps({"error": type(result).__name__, "message": result.detail, "reason": reason})


def from_json(text: bytes) -> Rendered:
    """Decode the result of another process. The reason of an error is logged.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex: the result is
            that error.
    """
    result = _successful(text)
    return Rendered(small=base64.b64decode(result["small"]), large=base64.b64decode(result["large"]))


def photo_from_json(text: bytes) -> bytes:
    """Decode a copied photo of another process.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex: as above.
    """
    return base64.b64decode(_successful(text)["photo"])


def _successful(text: bytes) -> Mapping[str, str]:
    result: Mapping[str, str] = json.loads(text)
    if "error" in result:
        log.info("an uploaded picture is refused: %s, %s", result["error"], result["reason"])
        raise _ERRORS[result["error"]](result["message"])
    return result
