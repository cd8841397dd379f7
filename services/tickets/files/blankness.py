"""Whether there is anything to see on a page."""

from PIL import Image, ImageChops, ImageFilter

MAX_SIDE = 600
"""A page is reduced to about this size first. That averages the noise of a camera away, while a line of small
print stays visible."""

AROUND = 6
"""Each point is compared with the average of this many points around it, so that a shadow isn't content."""

MIN_CONTRAST = 10
"""By how much of 255 a point has to differ from what is around it."""

MIN_POINTS = 20
"""Fewer such points are dust. A word of three letters in small print has more."""


def is_blank(page: Image.Image) -> bool:
    """Whether a gray page is nearly uniform: empty paper, a black photo, or a shade without any edges."""
    small = page.reduce(max(1, max(page.size) // MAX_SIDE))
    around = small.filter(ImageFilter.BoxBlur(AROUND))
    contrasts = ImageChops.difference(small, around).histogram()
    return sum(contrasts[MIN_CONTRAST:]) < MIN_POINTS
