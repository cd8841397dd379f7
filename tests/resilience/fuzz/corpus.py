"""Hostile and malformed input."""

import json
from typing import Any

DEEP = 1_500

NOT_JSON_OBJECTS: dict[str, bytes] = {
    "an empty body": b"",
    "a list": b"[]",
    "a list with a valid object": b'[{"title": "x", "price": 5}]',
    "null": b"null",
    "a number": b"7",
    "a number that no float holds": b"1" + b"0" * 5_000,
    "a JSON string": b'"text"',
    "plain text": b"not json",
    "a truncated object": b'{"title": "x", "pri',
    "two objects": b'{"title": "x", "price": 5} {"price": 1}',
    "single quotes": b"{'title': 'x', 'price': 5}",
    "a comment": b'{"title": "x", /* cheap */ "price": 5}',
    "deep lists": b"[" * DEEP,
    "deep lists, closed": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"title":' * DEEP + b"1" + b"}" * DEEP,
    "invalid UTF-8": b'{"title": "\xff\xfe\xfa", "price": 5}',
    "overlong UTF-8": b'{"title": "\xc0\xaf..\xc0\xaf", "price": 5}',
    "half a surrogate, encoded": b'{"title": "\xed\xa0\x80", "price": 5}',
    "half a surrogate, escaped": b'{"title": "\\ud800", "price": 5}',
    "a wrong escape": b'{"title": "\\x41", "price": 5}',
    "a bare control character": b'{"title": "a\x00b\nc", "price": 5}',
    "UTF-16": json.dumps({"title": "x", "price": 5}).encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"title": "x", "price": 5}',
    "not a number": b'{"title": "x", "price": NaN}',
    "infinity": b'{"title": "x", "price": -Infinity}',
    "an encoded form": b"title=x&price=5",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a pickle": b"cos\nsystem\n(S'true'\ntR.",
    "gzip": bytes.fromhex("1f8b08000000000000ffab5602000000ffff"),
}
"""Bodies that are not a JSON object."""

OBJECTS: list[Any] = [
    None,
    True,
    [],
    {},
    ["x"],
    {"$ne": None},
    {"$gt": ""},
    {"$where": "sleep(1000)"},
    {"$regex": ".*"},
    {"$in": ["x"]},
    {"__class__": {"__init__": {}}},
    {"toString": "x"},
    [[[[[[[[{"a": []}]]]]]]]],
]
"""Values of wrong types, among them database queries."""

NOT_TEXTS = [*OBJECTS, 7, -0.0, 1e308, 2**63, 10**400]
INVALID_PRICES = [
    *OBJECTS,
    *(0, -0.0, -1, 0.001, 1e-320, 1e308, 1_000_000, 2**31, 2**63, 2**64, 10**400, 999999.991),
    *("", " ", "free", "0", "-5", "+5", "5.", ".5", "1e3", "0x10", "5_0", "1,000", "5;", "NaN", "Infinity"),
    *("\uff11\uff19", "\u0661\u0669", "\u2160", "\U0001d7cf", "1\u20e3", "5\u0000", "5\n5", "9" * 10_000),
]
"""Invalid prices. Digits of other scripts are invalid too, because many people can't read them."""

INVALID_TIMES = [
    *OBJECTS,
    *(0, 1e12, -1, "0", "1767225600", "tomorrow", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z"),
    *("2026-12-31", "2026-12-31T20:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *("10000-01-01T00:00:00Z", "2026-12-31T20:00:00+99:99", "2026-12-31T20:00:00Z\u0000", "2" * 10_000),
]
INVALID_BOOLEANS = [*OBJECTS[2:], None, "", "2", "maybe", 2, -1, 0.5, 10**400]
INVALID_QUANTITIES = [*OBJECTS, 0, 11, -1, 1.5, 1e308, 2**64, "2", "\u0662"]
INVALID_IDS = [
    "x",
    "0" * 23,
    "0" * 25,
    "g" * 24,
    "\uff10" * 24,
    "0" * 23 + "\n",
    "../../../etc/passwd",
    "a\u0000b",
    "\U0001f3ab" * 6,
    "' || '1'=='1",
    "0" * 60,
]
"""Unknown and malformed ids."""

ODD_TEXTS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}} {% raw %} ${7*7} #{7*7} <%= 7*7 %>",
    "${jndi:ldap://localhost/x}",
    "'; DROP TABLE tickets; --",
    "$where",
    "../../../../etc/passwd",
    "\u0410dele",  # a Cyrillic A
    "e\u0301 \u00e9 \ufb03 \u1e9e \u0130",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ee\U0001f1f8",
    "null",
]
"""Valid but odd titles of tickets. They are stored in normal form C, and must not be executed."""

DISRUPTIVE_TEXTS = [
    "x\r\nSet-Cookie: session=stolen\r\n\r\nHTTP/1.1 200 OK",
    "\u202eevil\u202c",
    "x\u2066y",
    "x\u200by",
    "Z" + "\u0351" * 150,
    "a\u0000b",
    "a\u0007\u001b[31m",
    "x\ufffe\uffff",
]
"""Titles that are invalid because they would be invisible, or would change what is around them."""

QUERIES = [
    "q=%00&city=%00",
    "q=%ff%fe&city=%c0%af",
    "q=" + "a" * 200,
    "q=" + "a" * 201,
    "q=%28a%2B%29%2B%24%28&city=.*",
    "q[$ne]=x&city[$gt]=",
    "q=x&q=y&q=z",
    "q=%F0%9F%8E%AB&city=%C3%9Fa%CC%88",
    "q=%ED%A0%80",
    "limit=0",
    "limit=-1",
    "limit=101",
    "limit=1e2",
    "limit=9" + "9" * 5000,
    "limit=NaN",
    "limit=%D9%A5",
    "minPrice=NaN",
    "minPrice=inf",
    "minPrice=-1",
    "minPrice=1e309&maxPrice=1e-400",
    "maxPrice=0x10",
    "from=0001-01-01&to=9999-12-31",
    "from=0001-01-01T00:00:00%2B23:59",
    "to=9999-12-31T23:59:59-23:59",
    "from=2026-W01-1",
    "from=2026-02-30",
    "when=never",
    "category=",
    "sort=-date&sort=price",
    "after=000000000000000000000000&sort=price",
    "after=%00",
    "sort=price&after=WzFlNDAwLCAiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwIl0",  # [1e400, "000…"]
    "sort=price&after=W05hTiwgIjAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMCJd",  # [NaN, "000…"]
    "sort=date&after=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwgIjAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMCJd",
    "sort=date&after=W3siJG5lIjogMX0sICIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiXQ",  # [{"$ne": 1}, "000…"]
    "sort=price&after=" + "W1" * 100,
    "=&&&==;;%",
    "%24where=1&__proto__=x",
]

PATHS = [
    "/api/tickets/%00",
    "/api/tickets/%ff%fe",
    "/api/tickets/%ED%A0%80",
    "/api/tickets/..%2f..%2f..%2fetc%2fpasswd",
    "/api/tickets/../../../../etc/passwd",
    "/api/tickets/%2e%2e/%2e%2e/metrics",
    "/api//tickets",
    "/api/tickets//",
    "/api/tickets;x=y",
    "/api/tickets/%",
    "/api/tickets/%zz",
    "/api/tickets/" + "a" * 5_000,
    "/api/tickets" + "/x" * 1_000,
    "/api/tickets/pictures/..%2f..%2fsettings.py/small",
    "/api/tickets/pictures/%00/large",
    "/api/tickets/sellers/%F0%9F%8E%AB",
    "/api/orders/{$ne:1}",
    "/api/users/%27%7C%7C%271",
    "/static/..%2f..%2fsettings.py",
    "/static/%2e%2e/%2e%2e/settings.py",
    "/static//etc/passwd",
    "/docs/assets/../../settings.py",
    "/tickets/%00",
    "/tickets/%ff",
    "/orders/..%2f..",
    "/%5c%5cexample.com",
    "//example.com/%2f..",
]

HEADERS: list[tuple[bytes, bytes]] = [
    (b"Content-Type", b"application/json; charset=utf-16"),
    (b"Content-Type", b"application/json; charset=\xff"),
    (b"Content-Type", b"multipart/form-data"),
    (b"Content-Type", b"multipart/form-data; boundary=" + b"x" * 5_000),
    (b"Content-Type", b"\xff\xfe"),
    (b"Content-Encoding", b"gzip"),
    (b"Accept", b"\xff, */*;q=x"),
    (b"Accept-Language", b"xx-\xff;q=nan, " + b"de," * 1_000),
    (b"Accept-Encoding", b"gzip;q=x, \xff"),
    (b"Authorization", b"Bearer"),
    (b"Authorization", b"Bearer \xff\xfe"),
    (b"Authorization", b"Bearer " + b"e30." * 1_500),
    (b"Authorization", b"Basic " + b"A" * 5_000),
    (b"Cookie", b"session"),
    (b"Cookie", b'session="\\377\\000"; session=\xff'),
    (b"Cookie", b"; ;=;=x; session=; " + b"a=b; " * 1_000),
    (b"Cookie", b"session=x" + b"y" * 5_000),
    (b"traceparent", b"00-\xff"),
    (b"traceparent", b"ff-" + b"f" * 5_000),
    (b"X-Forwarded-For", b"\xff, ::1%lo, 999.1.1.1, " + b"1," * 1_000),
    (b"X-Forwarded-Proto", b"javascript"),
    (b"Forwarded", b"for=\xff"),
    (b"If-None-Match", b'"' + b"x" * 5_000),
    (b"Range", b"bytes=9999999999999999999-,-"),
    (b"Idempotency-Key", b"\xff"),
    (b"Stripe-Signature", b"t=\xff,v1=\xff"),
    (b"Stripe-Signature", b"t=1e400,v1=" + b"0" * 64),
    (b"HX-Request", b"\xff"),
    (b"HX-Current-URL", b"javascript:alert(1)"),
    (b"HX-Current-URL", b"http://["),
    (b"Origin", b"null"),
    (b"Origin", b"http://["),
    (b"Referer", b"\xff"),
    (b"Referer", b"//["),
    (b"Host", b"evil.example\\@x"),
    (b"Host", b"x:port"),
    (b"Host", b"x:99999999"),
    (b"Expect", b"200-ok"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"Last-Event-ID", b"-1"),
]
