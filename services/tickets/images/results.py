"""What decoding a picture can result in, without the libraries that decode it."""

import base64
import hashlib
import json
import logging
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


_ERRORS = {
    kind.__name__: kind
    for kind in (NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex)
}


def to_json(result: Rendered | ServiceError) -> str:
    """Encode a result for another process. An error must be one of this module."""
    if isinstance(result, Rendered):
        images = {"small": result.small, "large": result.large}
        return json.dumps({name: base64.b64encode(image).decode() for name, image in images.items()})
    reason = None if result.__cause__ is None else repr(result.__cause__)
    return json.dumps({"error": type(result).__name__, "message": result.detail, "reason": reason})


def from_json(text: bytes) -> Rendered:
    """Decode the result of another process. The reason of an error is logged.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex: the result is
            that error.
    """
    result = json.loads(text)
    if "error" in result:
        log.info("an uploaded picture is refused: %s, %s", result["error"], result["reason"])
        raise _ERRORS[result["error"]](result["message"])
    return Rendered(small=base64.b64decode(result["small"]), large=base64.b64decode(result["large"]))
