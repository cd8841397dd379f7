"""Every setting of every process, in one place: read from the environment, checked at start.

docs/settings.md shows them as a table; a test keeps the two equal.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.money import OTHER_THAN_TWO_DECIMALS

ServiceName = Literal["tickets", "auth", "orders", "expiration", "payments"]
SERVICES: tuple[ServiceName, ...] = ("tickets", "auth", "orders", "expiration", "payments")

Port = Annotated[int, Field(ge=1, le=65535)]
PerMinute = Annotated[int, Field(ge=0)]


def _currency(value: str) -> str:
    value = value.lower()
    if len(value) != 3 or not value.isascii() or not value.isalpha():
        raise ValueError("must be a three-letter ISO 4217 code such as usd")
    if value in OTHER_THAN_TWO_DECIMALS:
        raise ValueError(f"{value} hasn't two decimals, as prices here have")
    return value


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False


SHORTEST_SECRET = 32
LONGEST_AT_CHECKOUT = 22 * 3600


def _random() -> str:
    return secrets.token_hex(32)


class Settings(BaseSettings):
    """Names are those of the environment variables, in lower case."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # Where things are
    data_dir: Path = Field(Path(".data"), description="Folder of everything that is kept between runs")
    host: str = Field("127.0.0.1", description="Address that every process listens on")
    web_port: Port = Field(3500, description="Port of the web tier")
    tickets_port: Port = Field(3000, description="Port of the tickets service")
    auth_port: Port = Field(3001, description="Port of the auth service")
    orders_port: Port = Field(3002, description="Port of the orders service")
    expiration_port: Port = Field(3003, description="Port of the expiration service")
    payments_port: Port = Field(3004, description="Port of the payments service")
    nats_port: Port = Field(4222, description="Port of the embedded NATS server")
    mongo_port: Port = Field(27017, description="Port of the embedded database")
    stripe_sandbox_port: Port = Field(12111, description="Port of the Stripe sandbox")
    web_url: str | None = Field(None, description="Address of the marketplace as browsers see it")
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

    # What stands behind the services
    nats_url: str | None = Field(
        None,
        description="A NATS server (2.12 or later, JetStream on) instead of the embedded one; commas between several",
    )
    nats_replicas: int = Field(1, ge=1, le=5, description="Copies that JetStream keeps of each stream")
    mongo_url: SecretStr | None = Field(
        None, description="A MongoDB (8 or later) instead of the embedded one"
    )
    stripe_key: SecretStr | None = Field(
        None, description="A Stripe secret key; without one, payments go to the sandbox"
    )
    stripe_api_base: str | None = Field(None, description="Any other server that speaks Stripe's API")
    stripe_webhook_secret: SecretStr | None = Field(
        None,
        description="Signing secret of the webhook endpoint; needed with a STRIPE_KEY, made in DATA_DIR for the sandbox",
    )
    payment_page: Literal["token", "checkout"] | None = Field(
        None,
        description="Where buyers pay: `checkout` is Stripe's page, `token` ours, with test cards alone; `checkout` with a live key, else `token`",
    )
    checkout_url: str | None = Field(
        None, description="Address of Stripe's page, if the Stripe account has a domain of its own for it"
    )

    # Rules of the market
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        "usd", description="ISO 4217 code; one with two decimals"
    )
    expiration_window_seconds: float = Field(
        900, gt=0, le=86_400, description="Time to pay for a reservation"
    )
    max_live_reservations: int = Field(
        5, ge=1, le=100, description="Unpaid reservations that one user may have at once"
    )

    # Trust
    session_lifetime_seconds: int = Field(
        43_200, ge=60, le=2_592_000, description="Time after which one has to sign in again"
    )
    session_private_key: SecretStr | None = Field(
        None, description="Ed25519 private key in PEM; made in DATA_DIR if not given"
    )
    cookie_secure: bool = Field(False, description="Send cookies over TLS only; on behind TLS")
    csrf_secret: SecretStr | None = Field(
        None, min_length=32, description="Signs the web tier's form tokens; made in DATA_DIR if not given"
    )
    operator_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="Opens the API for operators (refunds); made in DATA_DIR if not given",
    )
    trusted_proxies: Annotated[list[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_split)] = Field(
        [IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")],
        description="Networks whose X-Forwarded-For is believed; commas between them, a lone comma for none",
    )
    rate_sign_in: PerMinute = Field(
        20, description="Sign-ins a minute from one address; 0 turns the limit off"
    )
    rate_sign_up: PerMinute = Field(
        10, description="Sign-ups a minute from one address; 0 turns the limit off"
    )
    rate_reserve: PerMinute = Field(
        30, description="Reservations a minute by one user; 0 turns the limit off"
    )
    rate_pay: PerMinute = Field(20, description="Payments a minute by one user; 0 turns the limit off")
    rate_upload: PerMinute = Field(
        30, description="Uploads of pictures a minute by one user; 0 turns the limit off"
    )

    # Operation
    web_places: int = Field(
        16,
        ge=1,
        le=1000,
        description="Pages that one web process makes at once; a few more wait, others get 503",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What is logged")
    outbox_sweep_seconds: float = Field(
        5, gt=0, le=3600, description="How often events that were not delivered are looked for"
    )
    reconcile_seconds: float = Field(
        30, gt=0, le=3600, description="How often open payments are compared with Stripe"
    )

    @model_validator(mode="after")
    def _real_money_stays_with_stripe(self) -> Self:
        if self._live and self.stripe_api_base is not None:
            raise PydanticCustomError(
                "live", "STRIPE_API_BASE: must not be set together with a live STRIPE_KEY"
            )
        if self._live and self.payment_page == "token":
            raise PydanticCustomError(
                "token_page",
                "PAYMENT_PAGE: token is for test cards; with a live STRIPE_KEY it must be checkout",
            )
        if self.stripe_key and not self.stripe_webhook_secret:
            raise PydanticCustomError(
                "webhook_secret",
                "STRIPE_WEBHOOK_SECRET: must be set together with a STRIPE_KEY, or anybody could sign a webhook",
            )
        if self.pays_at_checkout and self.expiration_window_seconds > LONGEST_AT_CHECKOUT:
            raise PydanticCustomError(
                "window",
                "EXPIRATION_WINDOW_SECONDS: at most 79200 where one pays on Stripe's page, which ends after a day",
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
        """The NATS servers in use."""
        if self.nats_url is None:
            return [f"nats://127.0.0.1:{self.nats_port}"]
        return [server.strip() for server in self.nats_url.split(",") if server.strip()]

    @property
    def database(self) -> str:
        """The MongoDB in use. The embedded one is ten times slower with retryable writes."""
        if self.mongo_url is None:
            return f"mongodb://127.0.0.1:{self.mongo_port}/?retryWrites=false"
        return self.mongo_url.get_secret_value()

    @property
    def uses_stripe_sandbox(self) -> bool:
        return self.stripe_key is None and self.stripe_api_base is None

    @property
    def stripe_base(self) -> str | None:
        """Where Stripe's API is spoken; None is Stripe itself."""
        if self.uses_stripe_sandbox:
            return f"http://127.0.0.1:{self.stripe_sandbox_port}"
        return self.stripe_api_base

    @property
    def site(self) -> str:
        """The marketplace as browsers see it."""
        return (self.web_url or f"http://localhost:{self.web_port}").rstrip("/")

    @property
    def webhook_secret(self) -> str | None:
        """What webhooks are signed with; None: they are refused, since anybody could sign with nothing."""
        if self.stripe_webhook_secret is not None:
            return self.stripe_webhook_secret.get_secret_value()
        return self.kept("stripe/webhook-secret") if self.uses_stripe_sandbox else None

    @property
    def operator_secret(self) -> str:
        """What operators show."""
        if self.operator_token is not None:
            return self.operator_token.get_secret_value()
        return self.kept("operator-token")

    def kept(self, name: str, make: Callable[[], str] = _random) -> str:
        """A secret that is made once in the data folder, readable by its owner alone.

        Processes that start together agree: whoever links its complete file first has won.
        """
        path = self.data_dir / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with NamedTemporaryFile("w", dir=path.parent) as draft:  # mode 0600, never seen half written
                draft.write(make())
                draft.flush()
                os.fsync(draft.fileno())
                with suppress(FileExistsError):
                    os.link(draft.name, path)
        if len(kept := path.read_text()) < SHORTEST_SECRET:
            raise ValueError(f"{path} is too short for a secret: remove it, and a new one is made")
        return kept

    def origin_of(self, hops: str) -> str:
        """Where a request comes from, as far as trusted proxies tell: `hops` is X-Forwarded-For and who asks us."""
        path = [hop.strip() for hop in hops.split(",") if hop.strip()]
        # From the right: each proxy of ours wrote the hop before it; what stands further left can be made up.
        while len(path) > 1 and _is_within(path[-1], self.trusted_proxies):
            path.pop()
        return path[-1]

    def port_of(self, service: ServiceName) -> int:
        return int(getattr(self, f"{service}_port"))

    def url_of(self, service: ServiceName) -> str:
        """Where other processes reach a service."""
        given: str | None = getattr(self, f"{service}_url")
        return (given or f"http://127.0.0.1:{self.port_of(service)}").rstrip("/")


@cache
def load() -> Settings:
    """The settings of this process; ends it with a line per wrong variable if there are any."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            variable = f"{problem['loc'][0]}: ".upper() if problem["loc"] else ""
            print(f"{variable}{problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(2)
