"""Mail with its database, a mail server of the test and a stub of auth, without NATS."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from contracts.wire import now
from kit.mongo import database
from ops.migrate import create_indexes
from services.mail.actions import Outgoing
from services.mail.addresses import Addresses
from services.mail.documents import Message
from services.mail.kinds.orders import EXAMPLE
from services.mail.sender import Sender
from services.mail.smtp import MailServer
from settings import Settings
from streams.mail import service
from tests.support.event_loop import use_one_event_loop
from tests.support.mail import InternalAuth, MailServerDouble
from tests.support.service import new_id


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


@dataclass
class Post:
    """The mail service of a test."""

    settings: Settings
    server: MailServerDouble
    auth: InternalAuth
    outgoing: Outgoing
    sender: Sender

    def order(self, **changes: Any) -> Any:
        """The event of an order that was just paid, by a buyer and a seller whom auth knows."""
        buyer, seller = new_id(), new_id()
        self.auth.users |= {buyer: f"{buyer}@example.com", seller: f"{seller}@example.com"}
        paid = {"id": new_id(), "user_id": buyer, "seller_id": seller, "paid_at": now()}
        return EXAMPLE.model_copy(update={**paid, **changes})

    async def messages(self) -> dict[str, Message]:
        """All messages by kind."""
        found = await Message.get_pymongo_collection().find().to_list()
        return {each["kind"]: Message.model_validate(each) for each in found}

    async def make_due(self) -> None:
        """Let queued messages be due now, and end the pause after an outage."""
        self.sender._paused_until = 0.0
        due = {"$set": {"next_attempt_at": now() - timedelta(seconds=1)}}
        await Message.get_pymongo_collection().update_many({"status": "queued"}, due)


@asynccontextmanager
async def another_sender(settings: Settings) -> AsyncIterator[Sender]:
    """The sender of another process."""
    server, addresses = MailServer(settings), Addresses(settings)
    try:
        yield Sender(settings, server, addresses)
    finally:
        await server.close()
        await addresses.close()


@pytest.fixture
def server() -> MailServerDouble:
    """A mail server that isn't running yet."""
    return MailServerDouble()


@pytest.fixture
def settings(mongo: str, tmp_path: Path, server: MailServerDouble) -> Settings:
    given = {"data_dir": tmp_path, "mongo_url": mongo, "smtp_url": server.url}
    return Settings.model_validate({**given, "mail_from": "Stagedoor <tickets@stagedoor.example>"})


@pytest_asyncio.fixture(loop_scope="session")
async def post(settings: Settings, server: MailServerDouble) -> AsyncIterator[Post]:
    auth = InternalAuth(settings)
    settings = settings.model_copy(update={"auth_url": auth.url})
    async with (
        # The embedded database takes long to drop a database with many documents.
        database(settings.database, f"mail-{new_id()}", service.documents) as bound,
        auth.running(),
        another_sender(settings) as sender,
    ):
        await create_indexes(bound, service.documents)
        yield Post(settings, server, auth, Outgoing(timedelta(days=3)), sender)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What mail logs during the test."""
    with caplog.at_level("INFO"):
        yield caplog


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A self-signed certificate for localhost and its key, in one file."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, None)
    )
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + built.public_bytes(Encoding.PEM))
    return str(path)


@pytest.fixture
def stranger(certificate: str) -> ssl.SSLContext:
    """The TLS context of a server whose certificate nobody trusts by default."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
