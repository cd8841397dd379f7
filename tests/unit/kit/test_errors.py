import re

import pytest

import services.auth.rules
import services.orders.rules
import services.payments.attempts
import services.payments.refunds
import services.payments.rules
import services.tickets.rules
from kit import errors
from kit.errors import Conflict, NotFound, ServiceError, TooManyRequests

MODULES = (
    errors,
    services.auth.rules,
    services.orders.rules,
    services.payments.attempts,
    services.payments.refunds,
    services.payments.rules,
    services.tickets.rules,
)
KINDS = sorted(
    {
        kind
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ServiceError)
    },
    key=str,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Conflict, "conflict"),
        (NotFound, "not-found"),
        (TooManyRequests, "too-many-requests"),
        (services.orders.rules.TicketReserved, "ticket-reserved"),
        (services.auth.rules.EmailInUse, "email-in-use"),
        (services.payments.rules.PaymentDeclined, "payment-declined"),
    ],
)
def test_the_code_of_an_error_follows_from_its_class_name(kind: type[ServiceError], code: str) -> None:
    assert kind().code == code


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_code_consists_of_lowercase_words_and_hyphens(kind: type[ServiceError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind().code)


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_of_every_error_is_a_sentence_without_the_class_name(kind: type[ServiceError]) -> None:
    message = kind().detail
    assert message[0].isupper()
    assert not message.endswith(".")
    assert kind.__name__ not in message
    assert str(kind()) == message


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (services.auth.rules.InvalidCredentials, 401),
        (services.auth.rules.EmailInUse, 409),
        (services.orders.rules.TicketReserved, 409),
        (services.orders.rules.TicketNotForSale, 409),
        (services.orders.rules.OwnTicket, 403),
        (services.orders.rules.NotTheBuyer, 403),
        (services.orders.rules.OrderComplete, 409),
        (services.orders.rules.TooManyReservations, 429),
        (services.payments.rules.PaymentDeclined, 402),
        (services.payments.rules.OrderCancelled, 409),
        (services.payments.rules.OrderExpired, 409),
        (services.payments.rules.NotTheBuyer, 403),
        (services.tickets.rules.TicketReserved, 409),
        (services.tickets.rules.TicketSold, 409),
        (services.tickets.rules.NotTheSeller, 403),
    ],
)
def test_each_error_has_the_status_in_the_http_contract(kind: type[ServiceError], status: int) -> None:
    assert kind.status == status


def test_a_given_message_replaces_the_default_message() -> None:
    error = TooManyRequests("You already hold 5 tickets", retry_after=7)
    assert (error.detail, error.retry_after, error.code) == (
        "You already hold 5 tickets",
        7,
        "too-many-requests",
    )
    assert Conflict(None).detail == Conflict.message
