"""Malformed paths, queries, headers and tokens don't make a process fail or end."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.identity import SESSION_COOKIE, Identity
from contracts.wire import now
from kit.tokens import Signer
from services.auth.keys import private_key
from settings import SERVICES
from tests.resilience.fuzz import corpus
from tests.resilience.fuzz.market import market
from tests.support.stack import Stack

TELLS_TOO_MUCH = re.compile(rb"Traceback|pymongo|pydantic|site-packages|root:x:0|File \"|litestar\.")

BROKEN = [
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /api/tickets HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 5_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Y: " + b"z" * 1_000_000 + b"\r\n\r\n",
    b"POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
    b"POST /api/tickets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    b"POST /api/users/signin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 10_000,
]


async def test_odd_paths_and_queries_are_answered(stack: Stack) -> None:
    wrong: list[str] = []
    targets = [
        *corpus.PATHS,
        *(f"{path}?{query}" for path in ("/api/tickets", "/") for query in corpus.QUERIES),
    ]
    targets += [f"/api/tickets/mine?{query}" for query in corpus.QUERIES[::3]]
    for port in (port_of(stack.web), port_of(stack.settings.url_of("tickets"))):
        for target in targets:
            request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            wrong += complaints(await sent(port, request.encode()), target)
    assert not wrong, "\n".join(wrong)


async def test_every_process_refuses_a_request_without_a_host(stack: Stack) -> None:
    """RFC 9112, section 3.2. HTTP/1.0 doesn't require a host."""
    services = [(stack.settings.url_of(service), "/health/live") for service in SERVICES]
    for url, path in [*services, (stack.web, "/health/live"), (stack.web, "/"), (stack.web, "/results")]:
        for version, host, status in (
            ("1.1", "Host: x\r\n", b"200"),
            ("1.1", "", b"400"),
            ("1.1", "Host:\r\n", b"400"),
            ("1.0", "", b"200"),
        ):
            request = f"GET {path} HTTP/{version}\r\n{host}Connection: close\r\n\r\n"
            answer = await sent(port_of(url), request.encode())
            assert answer.split()[1] == status, (url, path, version, host)


async def test_odd_headers_are_answered(stack: Stack) -> None:
    wrong: list[str] = []
    services = [stack.settings.url_of(service) for service in SERVICES]
    routes = [(stack.web, "GET", "/"), (stack.web, "GET", "/orders"), (stack.web, "POST", "/signin")]
    routes += [(stack.web, "POST", "/api/orders"), (stack.web, "GET", "/api/users/currentuser")]
    routes += [(services[0], "POST", "/api/tickets"), (services[-1], "POST", "/api/payments/webhook")]
    for url, method, path in routes:
        for name, value in corpus.HEADERS:
            head = f"{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n".encode()
            host = b"" if name == b"Host" else b"Host: x\r\n"
            answer = await sent(port_of(url), head + host + name + b": " + value + b"\r\n\r\n{}")
            wrong += complaints(answer, f"{method} {path} with {name!r}: {value[:40]!r}")
    assert not wrong, "\n".join(wrong)


async def test_a_process_survives_bytes_that_are_not_http(stack: Stack) -> None:
    wrong: list[str] = []
    for url in (stack.web, stack.settings.url_of("auth")):
        for request in BROKEN:
            wrong += complaints(
                await sent(port_of(url), request, then_ends=True), repr(request[:60]), may_hang_up=True
            )
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.get("/health/live")).status_code == 200
    assert not wrong, "\n".join(wrong)


async def test_only_tokens_of_auth_are_accepted(stack: Stack) -> None:
    """Forged tokens as bearer and as cookie, at every service and at the web tier's pages."""

    def ask_all() -> list[str]:
        with market(stack.web) as people:
            forged = forgeries(stack, people.token)
            places = [
                (f"{stack.web}/api/orders", 401),
                (stack.settings.url_of("tickets") + "/api/tickets/mine", 401),
                (stack.settings.url_of("orders") + "/api/orders", 401),
                (stack.settings.url_of("payments") + f"/api/payments?orderId={'0' * 24}", 401),
                (f"{stack.web}/orders", 303),
            ]
            wrong = []
            with httpx.Client(timeout=60) as client:
                for url, refusal in places:
                    cookie = {"Cookie": f"{SESSION_COOKIE}={people.token}"}
                    assert client.get(url, headers=cookie).status_code == 200, "the control: a valid token"
                    for name, token in forged.items():
                        ways = {"Cookie": f"{SESSION_COOKIE}={token}"}, {"Authorization": f"Bearer {token}"}
                        for way in ways[: 1 if refusal == 303 else 2]:
                            answer = client.get(url, headers=way)
                            if answer.status_code != refusal or TELLS_TOO_MUCH.search(answer.content):
                                wrong.append(f"{url} with a token {name}: {answer.status_code}")
                assert client.get(f"{stack.web}/api/users/currentuser").json() == {"currentUser": None}
            return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


def forgeries(stack: Stack, token: str) -> dict[str, str]:
    """Forgeries that are made from a valid token and from auth's public key."""
    header, content, signature = token.split(".")
    claims = json.loads(_decoded(content))
    jwks = httpx.get(stack.settings.url_of("auth") + "/.well-known/jwks.json", timeout=60).json()
    (key,) = jwks["keys"]
    kid = key["kid"]
    other = Ed25519PrivateKey.generate()
    identity = Identity(id=claims["sub"], email=claims["email"], session_id=claims["sid"])
    later = {**claims, "exp": claims["exp"] + 10**6}

    def by_hand(head: dict[str, Any], secret: bytes | None) -> str:
        signed = f"{_encoded(head)}.{content}"
        mac = b"" if secret is None else hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def of_another_key(kid: object, **head: Any) -> str:
        return jwt.encode(claims, other, algorithm="EdDSA", headers={"kid": kid, **head})

    return {
        "that is tampered with": f"{header}.{_encoded(later)}.{signature}",
        "with a flipped bit": f"{header}.{content}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "without a signature": f"{header}.{content}.",
        "with the algorithm none": by_hand({"alg": "none", "kid": kid}, None),
        "signed by HS256 with the public key": by_hand({"alg": "HS256", "kid": kid}, _decoded(key["x"])),
        "signed by HS256 with the key set": by_hand({"alg": "HS256", "kid": kid}, json.dumps(key).encode()),
        "signed by HS256 with an empty key": by_hand({"alg": "HS256", "kid": kid}, b""),
        "of another key": Signer(other).sign(identity, now() + timedelta(hours=1)),
        "of another key with the id of auth's key": of_another_key(kid),
        "with a path for a key": of_another_key("../../../../dev/null"),
        "with a query for a key": of_another_key("' UNION SELECT 'x"),
        "that contains its key": of_another_key(kid, jwk={"kty": "OKP", "crv": "Ed25519", "x": key["x"]}),
        "that contains the address of its key": of_another_key(
            kid, jku="http://localhost/keys", x5u="file:///etc/passwd"
        ),
        "that expired": expired(stack, identity),
        "that is long": "e30." + "A" * 5_000,
        "that is repeated": f"{token}.{token}",
    }


def expired(stack: Stack, identity: Identity) -> str:
    """A token of the auth service that expired a second ago."""
    return Signer(private_key(stack.settings)).sign(identity, now() - timedelta(seconds=1))


def complaints(answer: bytes, what: str, *, may_hang_up: bool = False) -> list[str]:
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    if status is None:
        return [] if may_hang_up and not answer else [f"{what}: no answer but {answer[:80]!r}"]
    if int(status[1]) >= 500:
        return [f"{what}: {answer[:400]!r}"]
    revealed = TELLS_TOO_MUCH.search(answer)
    return [f"{what}: reveals {revealed[0]!r}"] if revealed else []


async def sent(port: int, request: bytes, *, then_ends: bool = False) -> bytes:
    """The beginning of the answer to these bytes; empty if the process closes the connection.

    Args:
        then_ends: whether the client closes its side after these bytes, so that the server waits for no more.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        if then_ends:
            writer.write_eof()
        async with asyncio.timeout(30):
            answer = b""
            while len(answer) < 100_000 and (more := await reader.read(65_536)):
                answer += more
            return answer
    except OSError:
        return b""
    finally:
        writer.transport.abort()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
