"""Which paths of the services the web tier serves."""

import re
from pathlib import Path

import pytest

from web.public_api import ROUTES, public_route

ID = "65f0c0ffee0000000000000a"
FOR_OPERATORS = {
    ("POST", "/api/payments/refunds"),
    ("PUT", "/api/users/:id/suspension"),
    ("DELETE", "/api/users/:id/suspension"),
    ("DELETE", "/api/users/:id/sessions"),
    ("POST", "/api/orders/cancellations"),
    ("POST", "/api/orders/extensions"),
    ("GET", "/api/orders/problems"),
    ("GET", "/api/orders/problems/:id/photos/:file"),
    ("POST", "/api/orders/problems/decisions"),
    ("POST", "/api/tickets/withdrawals"),
    ("GET", "/api/tickets/reports"),
    ("POST", "/api/tickets/reports/decisions"),
    ("POST", "/api/shows/merges"),
    ("POST", "/api/shows/corrections"),
    ("POST", "/api/payments/evidence"),
    ("POST", "/api/payouts/write-offs"),
}
API_GUIDE = Path(__file__).parents[3] / "docs" / "api.md"


def documented_routes() -> set[tuple[str, str]]:
    """Method and path of each heading of docs/api.md, except those for operators."""
    found = set()
    for methods, paths in re.findall(r"^### ([A-Z, ]+) (/api/.*)$", API_GUIDE.read_text(), re.MULTILINE):
        first, *others = re.sub(r":\w*[iI]d\b", ":id", paths.partition("?")[0]).split(", ")
        all_paths = [first, *(other.replace("…", first.rpartition("/")[0]) for other in others)]
        found |= {(method, path) for method in methods.split(", ") for path in all_paths}
    return found - FOR_OPERATORS


def test_the_public_routes_are_those_of_the_api_guide() -> None:
    public = {
        (method, path)
        for routes in ROUTES.values()
        for path, methods in routes.items()
        for method in methods.split()
    }
    assert public == documented_routes()


def test_a_path_with_get_has_head_too_and_every_path_has_options() -> None:
    route = public_route(b"/api/tickets")
    assert route is not None
    assert (route.service, route.allow) == ("tickets", "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        (f"/api/tickets/{ID}", f"/api/tickets/{ID}"),
        (f"/api/tickets/{ID.upper()}/", f"/api/tickets/{ID.upper()}"),
        ("//api///tickets/", "/api/tickets"),
        ("/api/%74ickets", "/api/tickets"),
        ("/%61pi/users/sign%69n", "/api/users/signin"),
        ("/api/tickets/mine/summary", "/api/tickets/mine/summary"),
        (f"/api/tickets/pictures/{'a' * 64}/small", f"/api/tickets/pictures/{'a' * 64}/small"),
    ],
)
def test_a_path_is_decoded_once_and_loses_additional_slashes(raw_path: str, path: str) -> None:
    route = public_route(raw_path.encode())
    assert route is not None
    assert route.path == path


@pytest.mark.parametrize(
    "raw_path",
    [
        *(path for _, path in sorted(FOR_OPERATORS)),
        "/api/payments//refunds/",
        "/api/payments/%2Frefunds",
        "/api/payments%2frefunds",
        "/api/payments/%72efunds",
        "/api/payments/%2572efunds",
        "/api/payments/%252Frefunds",
        "/api/payments/x/../refunds",
        "/api/payments/./refunds",
        "/api/payments/%2e/refunds",
        "/api/payments/webhook/%2e%2e/refunds",
        "/api/payments\\refunds",
        "/api/payments/%5Crefunds",
        "/api/payments/refunds%00",
        "/api/payments/webhook%00",
        "/api/payments/webhook%0A",
        "/api/payments/webhook;x=1",
        "/api/payments%2Fwebhook",
        "/api/payments%2fwebhook",
        "/api/payments%252Fwebhook",
        "/api/payments/%2577ebhook",
        "/api/payments/%EF%BC%8Frefunds",
        "/api/%ff",
        "/api/tickets/..%2f..%2fmetrics",
        "/api/tickets/../../metrics",
        "/api/tickets/%2e%2e/%2e%2e/metrics",
        "/api/../metrics",
        "/api/health/live",
        "/api/.well-known/jwks.json",
        "/api/docs",
        "/metrics",
        "/api/tickets/1",
        f"/api/tickets/{ID}0",
        f"/api/tickets/{ID[:-1]}%D9%A1",
        "/api/tickets/:id",
        "/api/users",
        "/API/tickets",
        "/api",
        "/",
        "",
    ],
)
def test_every_other_path_does_not_exist(raw_path: str) -> None:
    assert public_route(raw_path.encode()) is None
