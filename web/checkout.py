"""Stripe's own page to pay on: the one other place that a form of ours leads to."""

import logging
from urllib.parse import urlsplit

from settings import Settings

log = logging.getLogger(__name__)

STRIPE_API = "https://api.stripe.com"
STRIPE_PAGES = "https://checkout.stripe.com"


def origin(settings: Settings) -> str:
    """Scheme, host and port of the page, as browsers see them."""
    if settings.checkout_url is not None:
        return _origin(settings.checkout_url)
    if settings.uses_stripe_sandbox:
        return f"http://localhost:{settings.stripe_sandbox_port}"
    base = _origin(settings.stripe_api_base or STRIPE_API)
    return STRIPE_PAGES if base == STRIPE_API else base


def trusted(url: str | None, settings: Settings) -> str | None:
    """The address of the page that payments gave; None, and an error in the log, if it is elsewhere."""
    if url is None or (url.isprintable() and "\\" not in url and _origin(url) == origin(settings)):
        return url
    log.error("payments sends buyers to %r, and not to %s", url, origin(settings))
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
