"""What an order knows of the photos of its problem."""

from pydantic import BaseModel, ConfigDict

from contracts.api import PhotoSide
from contracts.wire import Moment


class PhotoEntry(BaseModel):
    """A photo that the buyer or the seller has added. Its content is stored elsewhere, encrypted."""

    model_config = ConfigDict(frozen=True)

    id: str
    by: PhotoSide
    size: int
    """In bytes."""
    digest: str
    """The hash of the upload, so that a repeated upload adds nothing."""
    uploaded_at: Moment
