"""The assignment of requests to limiters, and the limits of each limiter."""

import re
from typing import Literal

from kit.limiter import Limiter, share_of

LimiterName = Literal["pages", "orders", "payments", "webhooks", "passwords", "known-devices", "live"]

_ALWAYS_ADMITTED = re.compile(r"/health/\w+|/metrics|/static/[^/]+")
_PASSWORDS = re.compile(
    r"/sign(in|up)|/account/(password|reset|email|undo-email-change|delete|passkeys/[^/]+/remove)"
    r"|/api/users/(sign(in|up)|password|password-reset/complete|email-change(/undo)?|me/deletion)"
    r"|/api/users/passkeys/(begin|[^/]+/remove)"
)
_PAYMENTS = re.compile(r"/orders/[^/]+/pay|/api/payments")
_ORDERS = re.compile(r"/orders(/.*)?|/tickets/[^/]+/buy|/api/(orders|payments)(/.*)?")


def limiter_of(method: str, path: str) -> LimiterName | None:
    """The limiter of a request; None if it is always admitted.

    Requests that wait for the same resource share a limiter, so that slow payments don't delay browsing.

    Args:
        method: in upper case.
        path: normalized.
    """
    if _ALWAYS_ADMITTED.fullmatch(path):
        return None
    if path == "/live":
        return "live"
    if path == "/api/payments/webhook":
        return "webhooks"
    if method == "POST" and _PASSWORDS.fullmatch(path):
        return "passwords"
    if method == "POST" and _PAYMENTS.fullmatch(path):
        return "payments"
    return "orders" if _ORDERS.fullmatch(path) else "pages"


def limiters(max_requests: int, network_share: int = 0) -> dict[LimiterName, Limiter]:
    """The limiters of one process. Their limits are proportional to `WEB_MAX_REQUESTS`.

    Hashing passwords occupies a CPU, so each request finishes sooner if few of them run at the same time. A
    payment causes work after its response, which too many concurrent payments would delay. Payments wait in a
    longer queue, because a buyer minds a refused payment more than a slow one. Devices on which somebody has
    signed in get further permits for passwords: an attacker from many networks could use up the others.

    Args:
        network_share: the most permits of a limiter that one network may hold, in percent; 0 for no limit.
    """
    found: dict[LimiterName, Limiter] = {
        "pages": Limiter(max_requests, queue_size=max_requests, timeout=2.0),
        "orders": Limiter(max_requests, queue_size=max_requests, timeout=5.0),
        "payments": Limiter(max(1, max_requests // 2), queue_size=2 * max_requests, timeout=5.0),
        "webhooks": Limiter(max(1, max_requests // 4), queue_size=2 * max_requests, timeout=5.0),
        "passwords": Limiter(max(1, max_requests // 8), queue_size=2 * max_requests, timeout=10.0),
        "known-devices": Limiter(max(1, max_requests // 16), queue_size=max_requests, timeout=10.0),
        "live": Limiter(max_requests, queue_size=max_requests, timeout=2.0),
    }
    for limiter in found.values():
        limiter.share = share_of(limiter.limit, network_share)
    return found
