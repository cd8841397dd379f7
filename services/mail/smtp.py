"""The mail server: a pool of connections, and what its answers mean for a message."""

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib
import idna

from settings import Settings, is_loopback

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 30.0
"""How long to wait for an answer of the server. RFC 5321 recommends minutes, in which other messages would
wait too."""

FRESH_SECONDS = 2.0
"""After this time without use, a connection is tested before it is used again."""

IDLE_SECONDS = 30.0
"""After this time without use, a connection is closed. Servers close idle connections after minutes."""

MAX_MESSAGES = 100
"""How many messages one connection sends. Many servers allow that many."""

CLOSING = 421
TOO_LARGE = 552


class Undelivered(Exception):
    """The server doesn't have the message, as far as we know. The texts of a server aren't kept: they may
    contain the address.

    Args:
        error: a code of SMTP, or a word of ours.
    """

    def __init__(self, error: str) -> None:
        self.error = error
        super().__init__(error)


class Rejected(Undelivered):
    """The server will never take this message."""


class RecipientRejected(Rejected):
    """The server takes no messages for this address, which may not exist."""


class Deferred(Undelivered):
    """The server may take this message later."""


class ServerDown(Undelivered):
    """The server takes no messages from us now."""

    def __init__(self, error: str, *, refuses_us: bool = False) -> None:
        self.refuses_us = refuses_us
        """Whether the server has refused us, so that an operator has to act."""
        super().__init__(error)


@dataclass
class _Connection:
    client: aiosmtplib.SMTP
    used_at: float = field(default_factory=time.monotonic)
    messages: int = 0

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self.used_at


class MailServer:
    """Sends messages through at most `MAIL_CONNECTIONS` connections, which are opened when needed.

    The URL of `settings.smtp` says how connections are protected: `smtps://` uses TLS, and `smtp://` requires
    STARTTLS, unless the server is on this machine or the URL ends with `?starttls=off`. Certificates are
    verified.
    """

    def __init__(self, settings: Settings) -> None:
        url = urlsplit(settings.smtp)
        self._host = url.hostname or "localhost"
        self._is_tls = url.scheme == "smtps"
        self._starttls = not self._is_tls and (
            url.query == "starttls=required" or (url.query == "" and not is_loopback(self._host))
        )
        self._port = url.port or (465 if self._is_tls else 587)
        self._user = unquote(url.username) if url.username else None
        self._password = unquote(url.password) if url.password else None
        self._local_name = _ascii_domain(urlsplit(settings.site).hostname or "localhost")
        self._idle: list[_Connection] = []
        self._permits = asyncio.Semaphore(settings.mail_connections)

    async def send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        """Send a message to one address. Returns when the server is responsible for it.

        Raises:
            Rejected, Deferred, ServerDown: after the last two, the server may nevertheless have the message,
                because its answer was lost. The recipient recognizes the repetition by its Message-ID.
        """
        async with self._permits:
            connection = await self._take()
            try:
                await _sending(connection.client, message, sender, _ascii_address(recipient))
            except Rejected:
                self._put_back(connection)
                raise
            except BaseException:
                connection.client.close()
                raise
            self._put_back(connection)

    async def close(self) -> None:
        """Close all connections."""
        while self._idle:
            await _quit(self._idle.pop().client)

    async def close_idle(self) -> None:
        """Close the connections that weren't used for a while."""
        stale = [each for each in self._idle if each.idle_seconds > IDLE_SECONDS]
        self._idle = [each for each in self._idle if each.idle_seconds <= IDLE_SECONDS]
        for each in stale:
            await _quit(each.client)

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_seconds <= FRESH_SECONDS:
                return connection
            try:
                await connection.client.noop(timeout=CONNECT_SECONDS)
            except (aiosmtplib.SMTPException, OSError):
                connection.client.close()
            else:
                return connection
        return _Connection(await self._connect())

    async def _connect(self) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            local_hostname=self._local_name,
            use_tls=self._is_tls,
            start_tls=self._starttls,
            timeout=CONNECT_SECONDS,
        )
        try:
            await client.connect()
        except aiosmtplib.SMTPResponseException as error:
            raise ServerDown(str(error.code), refuses_us=error.code >= 500) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
                raise ServerDown("tls", refuses_us=True) from None
            if isinstance(error, OSError):  # such as a refused connection, and each time-out
                raise ServerDown("no-connection") from None
            raise ServerDown("no-tls-or-login", refuses_us=True) from None
        client.timeout = COMMAND_SECONDS
        return client

    def _put_back(self, connection: _Connection) -> None:
        connection.messages += 1
        connection.used_at = time.monotonic()
        if connection.messages >= MAX_MESSAGES or not connection.client.is_connected:
            connection.client.close()
        else:
            self._idle.append(connection)


async def _sending(client: aiosmtplib.SMTP, message: EmailMessage, sender: str, recipient: str) -> None:
    try:
        await client.send_message(message, sender=sender, recipients=[recipient])
    except aiosmtplib.SMTPRecipientsRefused as refused:
        undelivered = _of_code(refused.recipients[0].code)
        if isinstance(undelivered, Rejected):
            raise RecipientRejected(undelivered.error) from None
        raise undelivered from None
    except aiosmtplib.SMTPSenderRefused as refused:
        if refused.code >= 500 and refused.code != TOO_LARGE:  # every message has the same sender
            raise ServerDown(str(refused.code), refuses_us=True) from None
        raise _of_code(refused.code) from None
    except aiosmtplib.SMTPResponseException as refused:
        raise _of_code(refused.code) from None
    except aiosmtplib.SMTPNotSupported:
        raise Rejected("no-smtputf8") from None
    except (aiosmtplib.SMTPException, OSError):
        raise Deferred("connection-lost") from None
    except (ValueError, UnicodeError):  # an address that the library can't send
        raise Rejected("bad-address") from None


def _of_code(code: int) -> Undelivered:
    if code == CLOSING:
        return ServerDown(str(code))
    return Rejected(str(code)) if code >= 500 else Deferred(str(code))


async def _quit(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=2)
    client.close()


def _ascii_address(address: str) -> str:
    """The address with its domain as DNS has it. A local part in another script needs SMTPUTF8."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{_ascii_domain(domain)}"


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain
