"""The settings of all processes, read from the environment and validated at start.

docs/settings.md lists them; a test keeps both equal.
"""

import sys
from collections.abc import Mapping
from decimal import Decimal
from email.utils import parseaddr
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from contracts import price_caps
from contracts.guarantees import PROBLEM_HOURS
from contracts.identity import SECURE_SESSION_COOKIE, SESSION_COOKIE
from contracts.money import OTHER_THAN_TWO_DECIMALS

ServiceName = Literal["auth", "tickets", "orders", "payments", "expiration", "mail", "payouts"]
SERVICES: tuple[ServiceName, ...] = get_args(ServiceName)
"""All services. What belongs to each of them, such as its process and its database, is derived from this list."""

Port = Annotated[int, Field(ge=1, le=65535)]
PerMinute = Annotated[int, Field(ge=0)]
NoLimitAtZero = Annotated[int, Field(ge=0)]


def _currency(value: str) -> str:
    value = value.lower()
    if len(value) != 3 or not value.isascii() or not value.isalpha():
        raise ValueError("must be a three-letter ISO 4217 code such as usd")
    if value in OTHER_THAN_TWO_DECIMALS:
        raise ValueError(f"{value} doesn't have two decimals, as prices require")
    return value


MONGO_OPTIONS = {
    "w": "majority",
    "journal": "true",
    "readconcernlevel": "majority",
    "readpreference": "primary",
}
"""Options that kit/mongo.py sets, in lower case."""


def _majority(url: SecretStr | None) -> SecretStr | None:
    """Refuse other values of these options. They would have no effect, which nobody who sets them expects."""
    _, _, options = (url.get_secret_value() if url else "").partition("?")
    for option in options.replace(";", "&").split("&"):
        name, _, value = option.partition("=")
        required = MONGO_OPTIONS.get(name.lower())
        if required is not None and value.lower() != required:
            raise ValueError(f"{name} must be {required}, which it is by default")
    return url


def _smtp(url: SecretStr | None) -> SecretStr | None:
    """Check the form of the URL, and that a password is sent encrypted. `services/mail/smtp.py` reads it."""
    if url is None:
        return url
    try:
        parts = urlsplit(url.get_secret_value())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("smtp", "smtps") or not host or parts.path.strip("/"):
        raise ValueError("must be like smtp://user:password@host:587 or smtps://user:password@host:465")
    if parts.query not in (("", "starttls=required", "starttls=off") if parts.scheme == "smtp" else ("",)):
        raise ValueError("starttls must be required or off, and smtps has no options")
    if parts.query == "starttls=off" and parts.password and not is_loopback(host):
        raise ValueError("starttls=off would send the password unencrypted")
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sender(value: str | None) -> str | None:
    if value is None:
        return None
    _, address = parseaddr(value)
    local, _, domain = address.rpartition("@")
    if not value.isprintable() or not local or not domain or not address.isascii() or " " in address:
        raise ValueError("must be like Stagedoor <tickets@example.com>")
    return value


def _percent(value: Decimal) -> Decimal:
    if not (value * 100 % 1).is_zero():
        raise ValueError("must have at most two decimals")
    return value


def _countries(values: list[str]) -> list[str]:
    if not values or not all(len(code) == 2 and code.isascii() and code.isalpha() for code in values):
        raise ValueError("must be ISO 3166-1 codes such as US, separated by commas")
    return [code.upper() for code in values]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _price_caps(path: Path | None) -> Path | None:
    """Check the file, so that a mistake in it is reported at start."""
    price_caps.read(path)
    return path


MAX_CHECKOUT_WINDOW_SECONDS = 22 * 3600


class SecretFileError(Exception):
    """A secret can't be read from the file that its variable names. The message is for the operator."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads each secret `NAME` from the file that `NAME_FILE` names, if that variable is set.

    The line break at the end of the file doesn't belong to the secret.
    """

    def __init__(self, settings: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        super().__init__(settings)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = self._variables.get(f"{field_name}_file")
        if not path or SecretStr not in get_args(field.annotation):
            return None, field_name, False
        name = field_name.upper()
        if self._variables.get(field_name):
            raise SecretFileError(f"{name}: must not be set together with {name}_FILE")
        try:
            return Path(path).read_text().rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SecretFileError(f"{name}_FILE: {error}") from None

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: secret for name, secret in found.items() if secret is not None}


class Settings(BaseSettings):
    """The validated settings. Each field is read from the environment variable with its name in upper case.

    A secret may be in a file instead: see `SecretFiles`.
    """

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # Addresses and data
    data_dir: Path = Field(Path(".data"), description="Folder of all persistent data")
    host: str = Field("127.0.0.1", description="Address on which the web tier listens")
    services_host: str = Field(
        "127.0.0.1",
        description="Address on which the services listen; change it only if web runs on another machine of a private network",
    )
    web_port: Port = Field(3500, description="Port of the web tier")
    tickets_port: Port = Field(3000, description="Port of the tickets service")
    auth_port: Port = Field(3001, description="Port of the auth service")
    orders_port: Port = Field(3002, description="Port of the orders service")
    expiration_port: Port = Field(3003, description="Port of the expiration service")
    payments_port: Port = Field(3004, description="Port of the payments service")
    mail_port: Port = Field(3005, description="Port of the mail service")
    payouts_port: Port = Field(3006, description="Port of the payouts service")
    console_port: Port = Field(3510, description="Port of the operator console, on this machine only")
    console_web_url: str | None = Field(
        None, description="Address at which the console reaches the web tier, if it isn't on this machine"
    )
    nats_port: Port = Field(4222, description="Port of the embedded NATS server")
    mongo_port: Port = Field(27017, description="Port of the embedded database")
    stripe_sandbox_port: Port = Field(12111, description="Port of the Stripe sandbox")
    mailbox_port: Port = Field(
        8025, description="Port of the embedded mailbox's pages, which show all mail that was sent"
    )
    mailbox_smtp_port: Port = Field(1025, description="Port on which the embedded mailbox receives mail")
    web_url: str | None = Field(
        None,
        description="Address of the marketplace for browsers; passkeys belong to it, and need https and a name",
    )
    tickets_url: str | None = Field(
        None, description="Address of the tickets service, if it isn't on this machine"
    )
    auth_url: str | None = Field(None, description="Address of the auth service, if it isn't on this machine")
    orders_url: str | None = Field(
        None, description="Address of the orders service, if it isn't on this machine"
    )
    expiration_url: str | None = Field(
        None, description="Address of the expiration service, if it isn't on this machine"
    )
    payments_url: str | None = Field(
        None, description="Address of the payments service, if it isn't on this machine"
    )
    mail_url: str | None = Field(None, description="Address of the mail service, if it isn't on this machine")
    payouts_url: str | None = Field(
        None, description="Address of the payouts service, if it isn't on this machine"
    )

    # NATS, MongoDB, Stripe and SMTP
    nats_url: SecretStr | None = Field(
        None,
        description="NATS servers (2.12 or later with JetStream), separated by commas, instead of the embedded one",
    )
    nats_replicas: int = Field(1, ge=1, le=5, description="Number of replicas of each JetStream stream")
    events_days: int | None = Field(
        None,
        ge=1,
        le=3650,
        description="Days for which the stream `EVENTS` keeps events; by default 30 for a new stream, and unchanged for an existing one",
    )
    events_max_mb: NoLimitAtZero | None = Field(
        None,
        description="Megabytes of the stream `EVENTS`, which then discards its oldest events; by default 1024 for a new stream, and unchanged for an existing one; 0 for no limit",
    )
    dead_max_mb: NoLimitAtZero | None = Field(
        None,
        description="Megabytes reserved for the stream `DEAD`, which then refuses dead letters; by default 128 for a new stream, and unchanged for an existing one; 0 for no limit",
    )
    mongo_url: Annotated[SecretStr | None, AfterValidator(_majority)] = Field(
        None, description="A MongoDB replica set (8 or later) instead of the embedded one"
    )
    stripe_key: SecretStr | None = Field(
        None, description="Stripe secret key; without one, payments use the sandbox"
    )
    stripe_api_base: str | None = Field(None, description="Another server that implements Stripe's API")
    stripe_webhook_secret: SecretStr | None = Field(
        None,
        description="Signing secret of the webhook endpoint; required with a STRIPE_KEY, generated in DATA_DIR for the sandbox",
    )
    previous_stripe_webhook_secret: SecretStr | None = Field(
        None, description="The webhook secret before, which is accepted while it is replaced"
    )
    stripe_payouts_webhook_secret: SecretStr | None = Field(
        None,
        description="Signing secret of the webhook endpoint of payouts; by default the STRIPE_WEBHOOK_SECRET",
    )
    previous_stripe_payouts_webhook_secret: SecretStr | None = Field(
        None, description="The webhook secret of payouts before, which is accepted while it is replaced"
    )
    stripe_requests_per_second: NoLimitAtZero = Field(
        20,
        description="Requests per second that all payments processes together may send to Stripe, and all payouts processes as many; the reconciler and webhooks use what buyers leave of it; 0 for no limit",
    )
    payment_page: Literal["token", "checkout"] | None = Field(
        None,
        description="Where buyers pay: `checkout` (Stripe's page) or `token` (our page, test cards only); by default `checkout` with a live key, else `token`",
    )
    checkout_url: str | None = Field(
        None, description="Address of Stripe's page, if the Stripe account uses a custom domain"
    )
    smtp_url: Annotated[SecretStr | None, AfterValidator(_smtp)] = Field(
        None,
        description="Mail server instead of the embedded mailbox: `smtps://USER:PASSWORD@HOST:465`, or `smtp://USER:PASSWORD@HOST:587`, which requires STARTTLS; `?starttls=off` only in a trusted network, and without a password",
    )
    mail_from: Annotated[str | None, AfterValidator(_sender)] = Field(
        None,
        description="Sender of all mail, such as `Stagedoor <tickets@example.com>`; required with an SMTP_URL",
    )
    mail_connections: int = Field(
        4, ge=1, le=50, description="Connections to the mail server of one mail process"
    )

    # Rules of the marketplace
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        "usd", description="ISO 4217 code of a currency with two decimals"
    )
    expiration_window_seconds: float = Field(
        900, gt=0, le=86_400, description="Time to pay for a reservation"
    )
    pay_after_start: bool = Field(
        True,
        description="Whether buyers may still pay after the event has started, for a ticket that they reserved before",
    )
    delivery_hours: float = Field(
        24, gt=0, le=168, description="Hours after the payment in which a seller has to upload promised files"
    )
    price_caps: Annotated[Path | None, AfterValidator(_price_caps)] = Field(
        None,
        description="CSV file with how much listings may cost above their face value, by country, instead of `contracts/price_caps.csv`",
    )
    pages_dir: Path | None = Field(
        None,
        description="Folder with Markdown files that replace those of `web/documents`, such as `terms.md` and `imprint.md`",
    )
    security_contact: Annotated[str, Field(pattern="^(https://|mailto:|tel:)[!-~]+$")] | None = Field(
        None,
        description="Where people report vulnerabilities, such as `mailto:security@example.com`; by default the contact page",
    )
    require_face_value: bool = Field(
        False, description="Whether listings must state their face value; those that exist stay on sale"
    )
    max_live_reservations: int = Field(5, ge=1, le=100, description="Maximum unpaid reservations per user")
    fee_percent: Annotated[Decimal, AfterValidator(_percent)] = Field(
        Decimal(0),
        ge=0,
        le=50,
        description="The platform's share of each sale, with at most two decimals; an order keeps that of its time",
    )
    payout_hours: float = Field(
        72,
        le=2_160,
        description="Hours after the event's start at which a seller is paid; more than the 48 hours in which buyers may report a problem",
    )
    payout_countries: Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_countries)] = (
        Field(
            ["US"],
            description="Countries whose sellers Stripe can pay from the platform's account, as ISO 3166-1 codes separated by commas",
        )
    )

    file_days: float = Field(
        30,
        gt=0,
        le=3650,
        description="Days after its event for which the uploaded files of a ticket are kept, and for which it is on record who received them; photos of reported problems are kept as long after the decision",
    )

    alert_wave_size: int = Field(
        10,
        ge=1,
        le=1_000,
        description="People who are told of a new ticket at the same time, those who asked first before others",
    )
    alert_wave_seconds: float = Field(
        300,
        gt=0,
        le=86_400,
        description="Time until the next people are told of a ticket that is still on sale",
    )

    mail_max_age_days: float = Field(
        3,
        gt=0,
        le=30,
        description="Days after which nobody is told any more what happened; a new or restored mail service would tell everything again otherwise",
    )
    mail_give_up_hours: float = Field(
        72, gt=0, le=240, description="Hours for which mail is sent again if the mail server doesn't take it"
    )
    mail_daily_limit: NoLimitAtZero = Field(
        50,
        description="Maximum optional mails of each kind to one person within 24 hours; more are dropped; 0 for no limit",
    )

    # Security
    session_lifetime_seconds: int = Field(
        43_200, ge=60, le=2_592_000, description="Time until users must sign in again"
    )
    session_idle_seconds: NoLimitAtZero = Field(
        7_200,
        description="Time without a request after which a session ends, within minutes; 0 for no limit",
    )
    session_private_key: SecretStr | None = Field(
        None, description="Ed25519 private key in PEM; generated in DATA_DIR by default"
    )
    session_verification_keys: str | None = Field(
        None,
        description="Ed25519 public keys in PEM, one after another, whose sessions are valid as well: the next key before it signs, and the previous one after that",
    )
    confirm_addresses: bool | None = Field(
        None,
        description="Whether new users must confirm their email address before they list or pay; by default only if `SMTP_URL` is set",
    )
    cookie_secure: bool = Field(False, description="Send cookies over TLS only; set it behind TLS")
    operator_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="Bearer token of the operators' API; generated in DATA_DIR by default",
    )
    previous_operator_token: SecretStr | None = Field(
        None, min_length=32, description="The operator token before, which is accepted while it is replaced"
    )
    internal_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Key for client addresses that web vouches for, device cookies and hashes of networks; generated in DATA_DIR by default",
    )
    previous_internal_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="The internal secret before, whose signatures are accepted while it is replaced",
    )
    mail_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="Bearer token with which mail asks auth for addresses and one-time links, the same for both; generated in DATA_DIR by default",
    )
    ticket_file_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Key that encrypts the uploaded files of tickets and photos of problems; if it is lost, so are they; generated in DATA_DIR by default",
    )
    previous_ticket_file_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="The key of files before, which still opens files while they are encrypted with the new one",
    )
    trusted_proxies: Annotated[list[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_split)] = Field(
        [IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")],
        description="Networks of trusted proxies, whose X-Forwarded-For is used, separated by commas; a single comma for none",
    )
    rate_sign_in: PerMinute = Field(
        20, description="Sign-ins per minute and network, requests with the password per user; 0 for no limit"
    )
    rate_sign_up: PerMinute = Field(
        10, description="Sign-ups, and links for a new password, per minute and network; 0 for no limit"
    )
    network_share: int = Field(
        75,
        ge=0,
        le=100,
        description="Percentage of a web process, and of auth's capacity to hash passwords, that one network may occupy; 0 for no limit",
    )
    max_failed_sign_ins: NoLimitAtZero = Field(
        5,
        description="Failed sign-ins per account or device after which each further one has to wait longer, up to 15 minutes; 0 for no limit",
    )
    max_failures_per_network: NoLimitAtZero = Field(
        100, description="Failed sign-ins per hour and network; 0 for no limit"
    )
    alarm_failed_sign_ins: PerMinute = Field(
        100, description="Failed sign-ins per minute of all users that raise an alert; 0 for no alert"
    )
    rate_reserve: PerMinute = Field(30, description="Reservations per minute and user; 0 for no limit")
    reserve_cool_down_seconds: int = Field(
        60,
        ge=0,
        le=86_400,
        description="First pause before a person may hold the same ticket again, from the third hold on; it doubles each time; 0 for none",
    )
    max_ticket_hold_seconds: int = Field(
        3_600,
        ge=0,
        le=86_400,
        description="Time within a day that a person may hold the same ticket without paying; 0 for no limit",
    )
    max_live_per_network: int = Field(
        50, ge=0, le=10_000, description="Maximum unpaid reservations per network; 0 for no limit"
    )
    rate_pay: PerMinute = Field(20, description="Payments per minute and user; 0 for no limit")
    rate_upload: PerMinute = Field(
        30,
        description="Uploads of pictures and of files of tickets, of each kind, per minute and user; 0 for no limit",
    )
    rate_list: PerMinute = Field(30, description="Tickets listed per minute and user; 0 for no limit")
    rate_change: PerMinute = Field(
        60,
        description="Other changes of each kind per minute and user, such as edits and cancellations; 0 for no limit",
    )
    rate_report: PerMinute = Field(5, description="Reports of listings per minute and user; 0 for no limit")
    rate_export: PerMinute = Field(
        3, description="Exports of personal data per minute and user; 0 for no limit"
    )
    rate_search: PerMinute = Field(
        300,
        description="New searches per minute and network, in each process of tickets; 0 for no limit",
    )
    picture_processes: int = Field(
        2,
        ge=1,
        le=64,
        description="Pictures that one tickets process decodes concurrently, each in a process of its own",
    )
    picture_queue: NoLimitAtZero = Field(
        4, description="Uploads that wait for such a process, others get 503; 0 for no limit"
    )
    pictures_per_user: NoLimitAtZero = Field(
        1, description="Uploads of one user that are received and decoded concurrently; 0 for no limit"
    )
    picture_seconds: NoLimitAtZero = Field(
        12, description="Time that an upload may wait and be decoded, otherwise it gets 503; 0 for no limit"
    )
    picture_cpu_seconds: NoLimitAtZero = Field(
        5, description="CPU time to decode one picture; 0 for no limit"
    )
    picture_memory_mb: NoLimitAtZero = Field(
        640, description="Megabytes of address space to decode one picture; 0 for no limit"
    )
    picture_megapixels: NoLimitAtZero = Field(
        30, description="Millions of pixels of a PNG or WebP; 0 for no limit"
    )
    picture_jpeg_megapixels: NoLimitAtZero = Field(
        200,
        description="Millions of pixels of a JPEG, which takes less memory because it is decoded at a smaller size; 0 for no limit",
    )
    picture_scans: NoLimitAtZero = Field(
        50, description="Scans of a progressive JPEG (usually 10); 0 for no limit"
    )
    picture_parts: NoLimitAtZero = Field(
        20_000,
        description="Segments of a JPEG, or chunks of a PNG or WebP (usually below 1,000); 0 for no limit",
    )
    file_pages: NoLimitAtZero = Field(20, description="Pages of an uploaded file of a ticket; 0 for no limit")
    file_cpu_seconds: NoLimitAtZero = Field(
        10, description="CPU time to check one file of a ticket; 0 for no limit"
    )
    max_body_bytes: NoLimitAtZero = Field(
        16_384,
        description="Maximum size of JSON bodies, and of forms without a picture or a file; 0 for no limit",
    )
    max_webhook_bytes: NoLimitAtZero = Field(
        262_144, description="Maximum size of Stripe's webhooks; 0 for no limit"
    )
    max_target_bytes: NoLimitAtZero = Field(
        8192, description="Maximum length of the path and the query of a request; 0 for no limit"
    )
    max_header_bytes: NoLimitAtZero = Field(
        32_768, description="Maximum size of all headers of a request; 0 for no limit"
    )
    body_timeout_seconds: float = Field(
        10, ge=0, description="Maximum time between two parts of a body that web receives; 0 for no limit"
    )
    min_body_rate: NoLimitAtZero = Field(
        50_000,
        description="Minimum bytes per second of a body that web receives, after its first `BODY_TIMEOUT_SECONDS`; 0 for no limit",
    )
    body_memory_mb: NoLimitAtZero = Field(
        48,
        description="Megabytes of bodies that a web process holds; those that stalled longest are rejected first; 0 for no limit",
    )
    body_memory_mb_per_network: NoLimitAtZero = Field(
        18, description="Megabytes of bodies that a web process holds for one network; 0 for no limit"
    )

    # Operation
    web_page_cache_mb: int = Field(
        64, ge=0, le=4_096, description="Megabytes of rendered pages that the web tier keeps; 0 keeps none"
    )
    web_max_requests: int = Field(
        16,
        ge=1,
        le=1000,
        description="Pages that one web process serves concurrently; a few more are queued, others get 503",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`text` to read, or `json`, one object a line, for a log collector"
    )
    otel_exporter_otlp_endpoint: Annotated[str, Field(pattern="^https?://")] | None = Field(
        None,
        description="Address of an OpenTelemetry collector (OTLP over HTTP), such as `http://localhost:4318`; without it, no spans are recorded",
    )
    outbox_sweep_seconds: float = Field(
        5, gt=0, le=3600, description="Interval of the sweep for unpublished events"
    )
    reconcile_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="Interval at which due payments are looked at and failed webhook events retried, and the shortest time between two looks at a payment",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        variables = {**dotenv_settings.env_vars, **env_settings.env_vars}
        return init_settings, env_settings, dotenv_settings, SecretFiles(settings_cls, variables)

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self._live and self.stripe_api_base is not None:
            raise PydanticCustomError(
                "live", "STRIPE_API_BASE: must not be set together with a live STRIPE_KEY"
            )
        if self._live and self.payment_page == "token":
            raise PydanticCustomError(
                "token_page",
                "PAYMENT_PAGE: token is for test cards; with a live STRIPE_KEY it must be checkout",
            )
        if self.payout_hours <= PROBLEM_HOURS:
            raise PydanticCustomError(
                "payout_hours",
                "PAYOUT_HOURS: must be more than 48, because buyers may report a problem for so long",
            )
        if self.stripe_key and not (self.stripe_webhook_secret or self.stripe_payouts_webhook_secret):
            raise PydanticCustomError(
                "webhook_secret",
                "STRIPE_WEBHOOK_SECRET: must be set together with a STRIPE_KEY, or anybody could sign a webhook",
            )
        if self.smtp_url and not self.mail_from:
            raise PydanticCustomError(
                "mail_from",
                "MAIL_FROM: must be set together with an SMTP_URL, which sends for that domain only",
            )
        if self.events_days is not None and self.session_lifetime_seconds > self.events_days * 86_400:
            raise PydanticCustomError(
                "events_days",
                "EVENTS_DAYS: must not be shorter than SESSION_LIFETIME_SECONDS, or ended sessions would be valid again",
            )
        if self.pays_at_checkout and self.expiration_window_seconds > MAX_CHECKOUT_WINDOW_SECONDS:
            raise PydanticCustomError(
                "window",
                "EXPIRATION_WINDOW_SECONDS: at most 79200 when buyers pay on Stripe's page, which expires after a day",
            )
        return self

    @property
    def _live(self) -> bool:
        return self.stripe_key is not None and "_live_" in self.stripe_key.get_secret_value()

    @property
    def pays_at_checkout(self) -> bool:
        """Whether buyers pay on Stripe's page rather than on ours."""
        return self.payment_page == "checkout" or (self.payment_page is None and self._live)

    @property
    def bus(self) -> list[str]:
        """The URLs of the NATS servers. `kit.secrets.nats_servers` adds the password for the embedded one."""
        if self.nats_url is None:
            return [f"nats://127.0.0.1:{self.nats_port}"]
        servers = self.nats_url.get_secret_value().split(",")
        return [server.strip() for server in servers if server.strip()]

    @property
    def database(self) -> str:
        """The URL of the database server.

        Retryable writes would make the embedded database ten times slower.
        """
        if self.mongo_url is None:
            return f"mongodb://127.0.0.1:{self.mongo_port}/?retryWrites=false"
        return self.mongo_url.get_secret_value()

    @property
    def uses_stripe_sandbox(self) -> bool:
        return self.stripe_key is None and self.stripe_api_base is None

    @property
    def stripe_base(self) -> str | None:
        """The base address of the sandbox or another server with Stripe's API; None for Stripe itself."""
        if self.uses_stripe_sandbox:
            return f"http://127.0.0.1:{self.stripe_sandbox_port}"
        return self.stripe_api_base

    @property
    def confirms_addresses(self) -> bool:
        """Whether new users must confirm their email address."""
        if self.confirm_addresses is not None:
            return self.confirm_addresses
        return self.smtp_url is not None

    @property
    def uses_mailbox(self) -> bool:
        """Whether mail goes to the embedded mailbox instead of a mail server."""
        return self.smtp_url is None

    @property
    def smtp(self) -> str:
        """The URL of the mail server."""
        if self.smtp_url is None:
            return f"smtp://127.0.0.1:{self.mailbox_smtp_port}"
        return self.smtp_url.get_secret_value()

    @property
    def sender(self) -> str:
        """The sender of all mail, as a mailbox of RFC 5322."""
        return self.mail_from or "Stagedoor <mail@stagedoor.localhost>"

    @property
    def session_cookie(self) -> str:
        """The name of the cookie with the session token."""
        return SECURE_SESSION_COOKIE if self.cookie_secure else SESSION_COOKIE

    @property
    def session_use_seconds(self) -> float:
        """How often the use of a session is reported to auth at most: often enough for the idle timeout."""
        return min(300.0, self.session_idle_seconds / 4) if self.session_idle_seconds else 300.0

    @property
    def site(self) -> str:
        """The address at which browsers reach the marketplace."""
        return (self.web_url or f"http://localhost:{self.web_port}").rstrip("/")

    def port_of(self, service: ServiceName) -> int:
        return int(getattr(self, f"{service}_port"))

    def url_of(self, service: ServiceName) -> str:
        """The address at which other processes reach a service."""
        given: str | None = getattr(self, f"{service}_url")
        return (given or f"http://127.0.0.1:{self.port_of(service)}").rstrip("/")


@cache
def load() -> Settings:
    """The settings of this process. If any are invalid, print one line for each and exit."""
    try:
        return Settings()
    except SecretFileError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            variable = f"{problem['loc'][0]}: ".upper() if problem["loc"] else ""
            print(f"{variable}{problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(2)
