import os
import re
import subprocess
import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from settings import SERVICES, Settings

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "settings.md").read_text("utf-8")
VARIABLES = {name.upper(): field for name, field in Settings.model_fields.items()}

ROW = re.compile(r"^\| `(?P<variable>[A-Z_]+)` \| (?P<default>.+?) \| (?P<meaning>.+) \|$", re.MULTILINE)


@pytest.fixture(autouse=True)
def unset_all_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(f"{variable}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)  # a folder without .env


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    return Settings()


def loaded(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run a process that loads its settings from these variables."""
    return subprocess.run(
        [sys.executable, "-c", "import settings; settings.load()"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- docs/settings.md ---


def written(field: FieldInfo) -> str:
    """A default as written in the table."""
    match field.default:
        case None:
            return "–"  # noqa: RUF001 - typed as people read it
        case bool(value):
            return f"`{str(value).lower()}`"
        case list(values):
            return f"`{','.join(map(str, values))}`"
        case value:
            return f"`{value}`"


def groups_in(text: str, heading: str, name: str) -> list[str | tuple[str, str]]:
    """Headings and the settings under them, in order."""
    found = re.finditer(rf"^(?:{heading} (?P<heading>.+)|{name}.*)$", text, re.MULTILINE)
    return [("group", match["heading"]) if match["heading"] else match["name"].upper() for match in found]


def test_the_settings_document_lists_exactly_the_settings_of_the_code_in_the_same_order() -> None:
    assert [row["variable"] for row in ROW.finditer(TABLE)] == list(VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_settings_document_contains_the_default_and_the_description_of_each_setting(
    variable: str,
) -> None:
    (row,) = [row for row in ROW.finditer(TABLE) if row["variable"] == variable]
    assert (row["default"], row["meaning"]) == (
        written(VARIABLES[variable]),
        VARIABLES[variable].description,
    )


def test_the_settings_document_has_the_same_groups_as_the_code() -> None:
    code = (ROOT / "settings.py").read_text("utf-8")
    fields = code[code.index("class Settings") : code.index("@model_validator")]
    in_code = groups_in(fields, "    #", r"    (?P<name>(?!model_config)[a-z_]+): ")
    in_table = groups_in(TABLE[: TABLE.index("## What belongs")], "##", r"\| `(?P<name>[A-Z_]+)` ")
    assert in_code == in_table


@pytest.mark.parametrize("variable", [name for name, field in VARIABLES.items() if field.default is not None])
def test_setting_a_documented_default_explicitly_changes_nothing(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = written(VARIABLES[variable]).strip("`")
    assert given(monkeypatch, **{variable: default}) == Settings()


# --- Refused values ---


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        ("WEB_PORT", "0"),
        ("WEB_PORT", "65536"),
        ("NATS_PORT", "many"),
        ("NATS_REPLICAS", "0"),
        ("CURRENCY", "jpy"),
        ("CURRENCY", "dollars"),
        ("CURRENCY", "üsd"),
        ("EXPIRATION_WINDOW_SECONDS", "0"),
        ("EXPIRATION_WINDOW_SECONDS", "86401"),
        ("EXPIRATION_WINDOW_SECONDS", "nan"),
        ("MAX_LIVE_RESERVATIONS", "0"),
        ("SESSION_LIFETIME_SECONDS", "59"),
        ("OPERATOR_TOKEN", "short"),
        ("COOKIE_SECURE", "perhaps"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("RATE_PAY", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("OUTBOX_SWEEP_SECONDS", "0"),
        ("OUTBOX_SWEEP_SECONDS", "inf"),
        ("RECONCILE_SECONDS", "-30"),
        ("RECONCILE_SECONDS", "3601"),
    ],
)
def test_an_invalid_value_is_refused(variable: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError) as refused:
        given(monkeypatch, **{variable: wrong})
    assert {str(error["loc"][0]).upper() for error in refused.value.errors()} == {variable}


def test_a_process_with_invalid_settings_exits_with_2_and_one_line_for_each() -> None:
    ended = loaded(WEB_PORT="0", CURRENCY="jpy", OPERATOR_TOKEN="hush")
    assert (ended.returncode, ended.stdout) == (2, "")
    lines = ended.stderr.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["CURRENCY", "OPERATOR_TOKEN", "WEB_PORT"]
    assert "hush" not in ended.stderr


def test_a_process_with_valid_settings_prints_nothing() -> None:
    ended = loaded(WEB_PORT="8080", CURRENCY="EUR", UNKNOWN_SETTING="1")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("key", ["sk_live_abc", "rk_live_abc"])
def test_a_live_key_is_refused_with_an_api_base_other_than_stripes(key: str) -> None:
    ended = loaded(STRIPE_KEY=key, STRIPE_API_BASE="http://127.0.0.1:12111")
    assert ended.returncode == 2
    assert ended.stderr.startswith("STRIPE_API_BASE: ")
    assert key not in ended.stderr


def test_a_live_key_for_stripe_and_a_test_key_for_another_server_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = given(monkeypatch, STRIPE_KEY="sk_live_abc", STRIPE_WEBHOOK_SECRET="whsec_abc")
    assert live.stripe_base is None
    elsewhere = given(monkeypatch, STRIPE_KEY="sk_test_abc", STRIPE_API_BASE="http://stripe.test")
    assert elsewhere.stripe_base == "http://stripe.test"


@pytest.mark.parametrize("key", ["sk_live_abc", "rk_live_abc"])
def test_a_live_key_is_refused_with_card_entry_on_our_own_page(key: str) -> None:
    ended = loaded(STRIPE_KEY=key, STRIPE_WEBHOOK_SECRET="whsec_abc", PAYMENT_PAGE="token")
    assert ended.returncode == 2
    assert ended.stderr.startswith("PAYMENT_PAGE: ")


@pytest.mark.parametrize("key", ["sk_live_abc", "sk_test_abc"])
def test_a_stripe_key_requires_a_webhook_secret(key: str) -> None:
    ended = loaded(STRIPE_KEY=key)
    assert ended.returncode == 2
    assert ended.stderr.startswith("STRIPE_WEBHOOK_SECRET: ")
    assert key not in ended.stderr


@pytest.mark.parametrize(
    "option", ["w=0", "W=1", "journal=false", "readConcernLevel=local", "readPreference=secondary"]
)
def test_a_database_url_that_asks_for_less_than_a_majority_is_refused(option: str) -> None:
    for url in (f"mongodb://ada:hush@db/?{option}", f"mongodb://ada:hush@db/?replicaSet=rs0&{option}"):
        ended = loaded(MONGO_URL=url)
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
        assert ended.stderr.startswith(f"MONGO_URL: {option.partition('=')[0]} must be ")
        assert "hush" not in ended.stderr


def test_a_database_url_may_ask_for_what_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "mongodb+srv://db/?w=majority&journal=true&readConcernLevel=majority&readPreference=primary"
    assert given(monkeypatch, MONGO_URL=url).database == url


def test_buyers_pay_at_checkout_by_default_only_with_a_live_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_abc")
    assert not given(monkeypatch).pays_at_checkout
    assert not given(monkeypatch, STRIPE_KEY="sk_test_abc").pays_at_checkout
    assert given(monkeypatch, STRIPE_KEY="sk_test_abc", PAYMENT_PAGE="checkout").pays_at_checkout
    monkeypatch.delenv("PAYMENT_PAGE")
    assert given(monkeypatch, STRIPE_KEY="sk_live_abc").pays_at_checkout


def test_an_expiration_window_longer_than_checkout_allows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    day = "86400"
    assert given(monkeypatch, EXPIRATION_WINDOW_SECONDS=day).expiration_window_seconds == 86400
    ended = loaded(EXPIRATION_WINDOW_SECONDS=day, PAYMENT_PAGE="checkout")
    assert ended.returncode == 2
    assert ended.stderr.startswith("EXPIRATION_WINDOW_SECONDS: ")


SECRETS = [name for name, field in VARIABLES.items() if SecretStr in get_args(field.annotation)]


def test_passwords_and_keys_are_secrets() -> None:
    assert {"MONGO_URL", "NATS_URL", "INTERNAL_SECRET", "OPERATOR_TOKEN"} < set(SECRETS)


@pytest.mark.parametrize("variable", SECRETS)
def test_every_secret_can_be_read_from_a_file(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = "smtps://me:s3cret@mail.example.com" if variable == "SMTP_URL" else "s3cret" * 8
    (tmp_path / "secret").write_text(f"{secret}\n")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))  # required with a STRIPE_KEY
    monkeypatch.setenv("MAIL_FROM", "tickets@example.com")  # required with an SMTP_URL
    settings = given(monkeypatch, **{f"{variable}_FILE": str(tmp_path / "secret"), variable: ""})
    assert getattr(settings, variable.lower()).get_secret_value() == secret


def test_a_file_of_a_secret_can_be_named_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("nats://bus")
    (tmp_path / ".env").write_text(f"NATS_URL_FILE={tmp_path / 'secret'}\n")
    assert Settings().bus == ["nats://bus"]


def test_a_secret_that_is_given_twice_or_whose_file_is_missing_is_refused(tmp_path: Path) -> None:
    twice = loaded(OPERATOR_TOKEN="hush" * 8, OPERATOR_TOKEN_FILE=str(tmp_path / "token"))
    assert twice.returncode == 2
    assert twice.stderr == "OPERATOR_TOKEN: must not be set together with OPERATOR_TOKEN_FILE\n"
    missing = loaded(MONGO_URL_FILE=str(tmp_path / "url"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("MONGO_URL_FILE: [Errno 2] No such file")


def test_a_secret_in_a_file_has_to_be_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    with pytest.raises(ValidationError):
        given(monkeypatch, OPERATOR_TOKEN_FILE=str(tmp_path / "token"))


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().web_port = 1  # type: ignore[misc] # the test is about this error


@pytest.mark.parametrize(
    ("variable", "secret"),
    [
        ("STRIPE_KEY", "sk_test_hush"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_hush"),
        ("MONGO_URL", "mongodb://ada:hush@db"),
        ("NATS_URL", "nats://ada:hush@bus"),
        ("SESSION_PRIVATE_KEY", "hush"),
        ("OPERATOR_TOKEN", "hush" * 8),
    ],
)
def test_secrets_are_hidden_when_settings_are_printed(
    variable: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = given(monkeypatch, **{"STRIPE_WEBHOOK_SECRET": "whsec_hush", variable: secret})
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()


# --- Derived values ---


def test_the_embedded_servers_are_used_by_default() -> None:
    settings = Settings()
    assert settings.bus == ["nats://127.0.0.1:4222"]
    assert settings.database == "mongodb://127.0.0.1:27017/?retryWrites=false"
    assert settings.uses_stripe_sandbox
    assert settings.stripe_base == "http://127.0.0.1:12111"
    assert settings.site == "http://localhost:3500"
    assert settings.url_of("tickets") == "http://127.0.0.1:3000"


def test_every_process_has_a_port_of_its_own() -> None:
    for service in SERVICES:
        wanted = {f"{service}_port", f"{service}_url"}
        assert wanted <= Settings.model_fields.keys(), f"settings.py: add the settings {sorted(wanted)}"
    ports = {name: field.default for name, field in Settings.model_fields.items() if name.endswith("_port")}
    assert len(set(ports.values())) == len(ports), ports


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:port",
        "smtp://mail.example.com/inbox",
        "smtp://mail.example.com?starttls=maybe",
        "smtps://mail.example.com?starttls=off",
        "smtp://me:s3cret@mail.example.com?starttls=off",
        "smtp://me:s3cret@127.evil.example?starttls=off",
    ],
)
def test_an_address_of_a_mail_server_that_could_mislead_or_reveal_a_password_is_refused(url: str) -> None:
    refused = loaded(SMTP_URL=url, MAIL_FROM="tickets@example.com")
    assert refused.returncode == 2
    assert refused.stderr.startswith("SMTP_URL: ")
    assert "s3cret" not in refused.stderr


@pytest.mark.parametrize(
    "url",
    [
        "smtps://me:s3cret@mail.example.com",
        "smtp://me:s3cret@mail.example.com:587",
        "smtp://mail.internal:25?starttls=off",
        "smtp://me:s3cret@127.0.0.1:25?starttls=off",
    ],
)
def test_an_address_of_a_mail_server_is_accepted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, SMTP_URL=url, MAIL_FROM="Stagedoor <tickets@example.com>")
    assert settings.smtp == url
    assert not settings.uses_mailbox


def test_a_mail_server_needs_a_sender_of_a_domain_for_which_it_may_send() -> None:
    refused = loaded(SMTP_URL="smtps://mail.example.com")
    assert refused.stderr.startswith("MAIL_FROM: must be set together with an SMTP_URL")


@pytest.mark.parametrize(
    "sender", ["Stagedoor", "a@b\r\nBcc: c@d", "Stagedoor <tickets@>", "Stagedoor <@example.com>"]
)
def test_a_sender_that_is_no_address_is_refused(sender: str) -> None:
    assert loaded(MAIL_FROM=sender).stderr.startswith("MAIL_FROM: ")


def test_the_addresses_of_embedded_servers_contain_the_configured_ports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = given(monkeypatch, NATS_PORT="1", MONGO_PORT="2", STRIPE_SANDBOX_PORT="3", WEB_PORT="4")
    assert settings.bus == ["nats://127.0.0.1:1"]
    assert settings.database == "mongodb://127.0.0.1:2/?retryWrites=false"
    assert settings.stripe_base == "http://127.0.0.1:3"
    assert settings.site == "http://localhost:4"


def test_configured_servers_replace_the_embedded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(
        monkeypatch,
        NATS_URL="nats://a:4222, nats://b:4222",
        MONGO_URL="mongodb://db/?replicaSet=rs0",
        STRIPE_KEY="sk_test_abc",
        STRIPE_WEBHOOK_SECRET="whsec_abc",
        WEB_URL="https://tickets.example/",
    )
    assert settings.bus == ["nats://a:4222", "nats://b:4222"]
    assert settings.database == "mongodb://db/?replicaSet=rs0"
    assert not settings.uses_stripe_sandbox
    assert settings.stripe_base is None
    assert settings.site == "https://tickets.example"


def test_empty_entries_in_the_list_of_nats_servers_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, NATS_URL="nats://a:4222, ,").bus == ["nats://a:4222"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_address_of_a_service_contains_the_configured_port_or_is_the_configured_url(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = [known for known in SERVICES if known == service]
    moved = given(monkeypatch, **{f"{service.upper()}_PORT": "9000"})
    assert moved.port_of(name) == 9000
    assert moved.url_of(name) == "http://127.0.0.1:9000"
    remote = given(monkeypatch, **{f"{service.upper()}_URL": "http://remote.example:80/"})
    assert remote.url_of(name) == "http://remote.example:80"


def test_another_server_with_stripes_api_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, STRIPE_API_BASE="http://stripe.test")
    assert not settings.uses_stripe_sandbox
    assert settings.stripe_base == "http://stripe.test"


def test_trusted_proxies_are_a_list_of_networks_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, TRUSTED_PROXIES=" 10.0.0.0/8, 192.0.2.7 ,fd00::/8,")
    assert settings.trusted_proxies == [
        IPv4Network("10.0.0.0/8"),
        IPv4Network("192.0.2.7/32"),
        IPv6Network("fd00::/8"),
    ]


def test_the_list_of_trusted_proxies_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, TRUSTED_PROXIES=",").trusted_proxies == []


def test_the_currency_is_lowercased(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, CURRENCY="EUR").currency == "eur"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, STRIPE_KEY="", WEB_PORT="", NATS_URL="") == Settings()


def test_environment_variables_take_precedence_over_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("WEB_PORT=8001\nAUTH_PORT=8002\n")
    settings = given(monkeypatch, WEB_PORT="9001")
    assert (settings.web_port, settings.auth_port) == (9001, 8002)


def test_each_mistake_in_the_table_of_price_caps_is_reported_at_start(tmp_path: Path) -> None:
    caps = tmp_path / "caps.csv"
    caps.write_text(
        "country,percent,source,date\n*,20,Ours,2026-12-01\nXX,5,Ours,2026-12-01\nDE,x,Ours,2026-12-01\n"
    )
    process = loaded(PRICE_CAPS=str(caps))
    assert process.returncode == 2
    assert process.stderr.splitlines() == [
        "PRICE_CAPS: line 3: 'XX' isn't a country such as DE, or *",
        "line 4: percent must be from 0 to 1000, not 'x'",
    ]
