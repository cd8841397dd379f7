"""Reads the records of orders, payments and Stripe. Writes nothing, so that read access is sufficient."""

from pydantic import ValidationError

from kit.errors import Unavailable
from kit.mongo import DatabaseError, HalfRestored, database
from kit.stripe.client import StripeApi
from ops.audit.accounts import Account, OrderEntry, PaymentEntry, accounts
from ops.errors import CommandError, explain
from services.orders.documents import Order
from services.payments.documents import Payment
from services.payments.stripe_gateway.ledger import StripeRecord, records
from settings import Settings


class Unreadable(CommandError):
    """Orders, payments or Stripe can't be read. The message names the source and the reason."""

    exit_code = 2


async def read(settings: Settings) -> list[Account]:
    """The accounts of all orders.

    Stripe is read first and orders last. An order is created before its payment and intent, so the result
    contains the order of every payment and intent.

    Raises:
        Unreadable
    """
    intents = await _intents(settings)
    try:
        payments = await _payments(settings.database)
        orders = await _orders(settings.database)
    except (DatabaseError, HalfRestored) as error:
        raise Unreadable(f"The databases orders and payments can't be read: {explain(error)}") from error
    except ValidationError as error:
        reason = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
        raise Unreadable(f"A document of orders or payments can't be read: {reason}") from error
    return accounts(orders, payments, intents)


async def _intents(settings: Settings) -> list[StripeRecord]:
    api = StripeApi(settings)
    try:
        return [intent async for intent in records(api)]
    except Unavailable as error:
        where = settings.stripe_base or "https://api.stripe.com"
        reason = " ".join(str(error.__cause__ or error).split())
        raise Unreadable(f"Stripe's records can't be read at {where}: {reason}") from error
    finally:
        await api.close()


async def _payments(url: str) -> list[PaymentEntry]:
    async with database(url, "payments", [Payment], skip_indexes=True):
        return await Payment.find({}).project(PaymentEntry).to_list()


async def _orders(url: str) -> list[OrderEntry]:
    async with database(url, "orders", [Order], skip_indexes=True):
        return await Order.find({}).project(OrderEntry).to_list()
