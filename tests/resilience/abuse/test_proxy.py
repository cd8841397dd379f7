"""Clients of the public port can't reach what the services offer to operators."""

import pytest

from kit.secrets import operator_token
from tests.resilience.fuzz.test_requests import port_of, sent
from tests.support.stack import Stack


@pytest.mark.parametrize(
    "path",
    [
        *("/api/payments/refunds", "/api/payments/%2Frefunds", "/api/payments//refunds"),
        *("/api/payments%2frefunds", "/api/payments/%72efunds", "/api/payments/%252Frefunds"),
        *("/api/payments/x/../refunds", "/api/payments/%2e/refunds", "/api/payments/%5Crefunds"),
        *("/api/payments/refunds%00", "/api/payments/refunds;x", "/%61pi/payments/%2Frefunds"),
        *("/api/orders/cancellations", "/api/orders/%65xtensions", "/api/tickets//withdrawals"),
        *("/api/tickets/%2e%2e/%2e%2e/metrics", "/api/users/../../.well-known/jwks.json"),
        *("/api/health/ready", "/api/docs/openapi.json", "/api/metrics"),
    ],
)
async def test_no_spelling_of_a_path_leads_to_a_route_that_is_not_public(stack: Stack, path: str) -> None:
    """With the operators' own token, so that a request that gets through is noticed."""
    token = operator_token(stack.settings)
    for method in ("POST", "GET"):
        answer = await sent(
            port_of(stack.web),
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".encode(),
        )
        assert answer.startswith(b"HTTP/1.1 404"), answer[:200]
