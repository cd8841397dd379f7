"""The web tier's forms as an OpenAPI document: the fields that browsers send, and the answers."""

from collections.abc import Mapping
from typing import Any

from contracts.tickets import CATEGORIES
from web import time_zones

TEXT: dict[str, Any] = {"type": "string", "maxLength": 300}
PRICE: dict[str, Any] = {"anyOf": [{"type": "string", "pattern": "^[0-9]{1,4}[.,][0-9]{2}$"}, TEXT]}
MOMENT: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": "^20(2[6-9]|[3-9][0-9])-0[1-9]-1[0-9]T1[0-9]:[0-5][0-9]$"}, TEXT]
}
TICKET = {
    "title": TEXT,
    "price": PRICE,
    "startsAt": MOMENT,
    "timeZone": {"anyOf": [{"enum": sorted(time_zones.names())}, TEXT]},
    "offset": {"anyOf": [{"enum": ["+01:00", "+02:00"]}, TEXT]},
    "venue": TEXT,
    "city": TEXT,
    "category": {"anyOf": [{"enum": ["", *CATEGORIES]}, TEXT]},
    "seat": TEXT,
    "quantity": {"anyOf": [{"enum": ["1", "2", "10"]}, TEXT]},
    "faceValue": PRICE,
    "notes": TEXT,
}
SEARCH = {
    **dict.fromkeys(("q", "city", "from", "to", "after", "sort", "minPrice", "maxPrice", "x"), TEXT),
    "category": {"anyOf": [{"enum": list(CATEGORIES)}, TEXT]},
    "when": {"anyOf": [{"enum": ["today", "weekend"]}, TEXT]},
}
NEXT = {"anyOf": [{"enum": ["/orders", "//example.com", "https://example.com", "/\\example.com"]}, TEXT]}
NOT_ABOUT_FORMS = (
    "positive_data_acceptance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "use_after_free",
    "ensure_resource_availability",
)
"""Checks of API documents that don't apply to forms, because the errors of a form are shown on a page."""


def document(mine: str, free: str, order: str) -> dict[str, Any]:
    """The forms for a user's own ticket (`mine`), another user's ticket (`free`) and the user's order."""
    forms: Mapping[str, Mapping[str, Any]] = {
        "/signin": {"email": TEXT, "password": TEXT, "next": NEXT},
        "/signup": {"email": TEXT, "password": TEXT, "next": NEXT},
        "/account/password": {"currentPassword": TEXT, "newPassword": TEXT},
        "/account/name": {"name": TEXT},
        "/account/trader": {
            "trader": {"anyOf": [{"enum": ["true", "false"]}, TEXT]},
            **dict.fromkeys(("traderName", "traderAddress", "traderEmail", "traderPhone"), TEXT),
        },
        "/account/language": {"language": TEXT},
        "/account/forgot": {"email": TEXT},
        "/account/reset": {"link": TEXT, "newPassword": TEXT},
        "/account/undo-email-change": {"link": TEXT, "newPassword": TEXT},
        "/account/confirm": {"link": TEXT},
        "/account/email": {"email": TEXT, "currentPassword": TEXT},
        "/account/change-email": {"link": TEXT},
        "/account/delete": {"currentPassword": TEXT},
        "/sell": {**TICKET, "idempotency_key": TEXT},
        f"/tickets/{mine}/edit": TICKET,
        f"/tickets/{mine}/withdraw": {},
        f"/tickets/{free}/buy": {"price": TEXT},
        f"/tickets/{free}/report": {"kind": {"anyOf": [{"enum": ["fraud"]}, TEXT]}, "text": TEXT},
        f"/orders/{order}/pay": {"token": {"anyOf": [{"enum": ["tok_chargeDeclined"]}, TEXT]}},
        f"/orders/{order}/extend": {},
        f"/orders/{order}/cancel": {},
    }
    paths: dict[str, Any] = {path: {"post": _form(fields)} for path, fields in forms.items()}
    paths["/"] = {"get": _page(SEARCH)}
    paths["/listings"] = {"get": _page({"status": TEXT, "after": TEXT})}
    paths["/signin"]["get"] = _page({"next": NEXT})
    return {"openapi": "3.1.0", "info": {"title": "Forms", "version": "1"}, "paths": paths}


def _form(fields: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": fields}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"content": content}, "responses": _PAGES}


def _page(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "parameters": [
            {"name": name, "in": "query", "schema": schema} for name, schema in parameters.items()
        ],
        "responses": _PAGES,
    }


_PAGES = {
    # Redirects are followed, so 200 is the status of the next page. 401 and 403 are missing, because the user
    # is signed in and the forms are sent with the headers of a browser on this site.
    status: {"description": "A page", "content": {"text/html": {}}}
    for status in ("200", "400", "402", "404", "405", "409", "410", "413", "415", "422")
}
