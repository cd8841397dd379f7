"""The HTTP client for Stripe sends the key to nobody else."""

import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import stripe
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from contracts.wire import now
from kit.stripe.client import StripeHttp


@pytest.fixture
async def http() -> AsyncIterator[StripeHttp]:
    http = StripeHttp(timeout=aiohttp.ClientTimeout(total=30))
    yield http
    await http.close_async()  # type: ignore[no-untyped-call] # stripe leaves it untyped


async def test_a_redirect_is_not_followed(http: StripeHttp) -> None:
    paths = []

    async def redirect(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_get("/{path:.*}", redirect)
    async with TestServer(app) as server:
        _, status, _ = await http.request_async("GET", str(server.make_url("/v1")), {})
    assert (status, paths) == (302, ["/v1"])


async def test_a_server_whose_certificate_no_authority_has_signed_is_refused(
    http: StripeHttp, tmp_path: Path
) -> None:
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=self_signed(tmp_path / "server.pem"))
    try:
        with pytest.raises(stripe.APIConnectionError, match="CertificateError"):
            await http.request_async("GET", str(server.make_url("/v1")), {})
    finally:
        await server.close()


def self_signed(file: Path) -> ssl.SSLContext:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.stripe.com")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now())
        .not_valid_after(now() + timedelta(days=1))
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
