"""Validates the address of Stripe's payment page, the only other site that forms may lead to."""

import logging
from urllib.parse import urlsplit

from settings import Settings

log = logging.getLogger(__name__)

STRIPE_API = "https://api.stripe.com"
STRIPE_PAGES = "https://checkout.stripe.com"
STRIPE_CONNECT = "https://connect.stripe.com"


def origin(settings: Settings) -> str:
    """The origin (scheme, host and port) of Stripe's payment page in the browser."""
    if settings.checkout_url is not None:
        return _origin(settings.checkout_url)
    if settings.uses_stripe_sandbox:
        return f"http://localhost:{settings.stripe_sandbox_port}"
    base = _origin(settings.stripe_api_base or STRIPE_API)
    return STRIPE_PAGES if base == STRIPE_API else base


def trusted(url: str | None, settings: Settings) -> str | None:
    """The address of a payment page. If its origin is unexpected, log an error and return None."""
    if url is None or (url.isprintable() and "\\" not in url and _origin(url) == origin(settings)):
        return url
    log.error(
        "The payments service returned the payment page %r, whose origin isn't %s", url, origin(settings)
    )
    return None


def trusted_onboarding(url: str, settings: Settings) -> str | None:
    """The address of Stripe's page for a seller's details. None if its origin is unexpected."""
    if settings.uses_stripe_sandbox:
        expected = f"http://localhost:{settings.stripe_sandbox_port}"
    else:
        base = _origin(settings.stripe_api_base or STRIPE_API)
        expected = STRIPE_CONNECT if base == STRIPE_API else base
    if url.isprintable() and "\\" not in url and _origin(url) == expected:
        return url
    log.error("The payouts service returned the page %r, whose origin isn't %s", url, expected)
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
