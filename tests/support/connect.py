"""Connected accounts at the Stripe sandbox, and the payments that are transferred to them."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import stripe

from tests.support.stripe_sandbox import paid_by

RETURN_URL, REFRESH_URL = "http://shop.test/account/payouts?back", "http://shop.test/account/payouts?again"


async def opened_account(shop: stripe.StripeClient, **params: Any) -> stripe.Account:
    """A new Express account, which can't receive money yet. Its payouts are manual."""
    given: Any = {
        "type": "express",
        "country": "US",
        "capabilities": {"transfers": {"requested": True}},
        "settings": {"payouts": {"schedule": {"interval": "manual"}}},
        **params,
    }
    return await shop.v1.accounts.create_async(given)


async def onboarding_path(shop: stripe.StripeClient, account_id: str) -> str:
    """The path of a page on which the person gives the details of the account."""
    link = await shop.v1.account_links.create_async(
        {
            "account": account_id,
            "type": "account_onboarding",
            "return_url": RETURN_URL,
            "refresh_url": REFRESH_URL,
        }
    )
    return urlsplit(link.url).path


async def onboarded(
    shop: stripe.StripeClient, http: httpx.AsyncClient, choice: str = "complete", **params: Any
) -> stripe.Account:
    """An account after a person has submitted the page."""
    account = await opened_account(shop, **params)
    answer = await http.post(await onboarding_path(shop, account.id), data={"choice": choice})
    assert (answer.status_code, answer.headers["location"]) == (303, RETURN_URL)
    return await shop.v1.accounts.retrieve_async(account.id)


class Settled(NamedTuple):
    """A captured payment."""

    charge: str
    transaction: stripe.BalanceTransaction


async def settled(shop: stripe.StripeClient, token: str = "tok_bypassPending", **params: Any) -> Settled:
    """A captured payment of 19.99, whose money is available at once."""
    intent = await paid_by(token, shop, **{"capture_method": "automatic", **params})
    charge = await shop.v1.charges.retrieve_async(
        str(intent.latest_charge), {"expand": ["balance_transaction"]}
    )
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    return Settled(charge.id, charge.balance_transaction)


async def transferred(
    shop: stripe.StripeClient, account: stripe.Account, amount: int = 1000, **params: Any
) -> stripe.Transfer:
    """A transfer of a part of a new payment."""
    paid = await settled(shop)
    transfer: Any = {"amount": amount, "currency": "usd", "destination": account.id, **params}
    return await shop.v1.transfers.create_async(transfer | {"source_transaction": paid.charge})


def acting_for(account: stripe.Account) -> Any:
    """The options of a request on behalf of a connected account."""
    return {"stripe_account": account.id}


async def balance_of(shop: stripe.StripeClient, account: stripe.Account) -> tuple[int, int]:
    """What is available to a connected account in US dollars, and what is pending."""
    balance = await shop.v1.balance.retrieve_async({}, acting_for(account))
    [available] = [part.amount for part in balance.available if part.currency == "usd"]
    [pending] = [part.amount for part in balance.pending if part.currency == "usd"]
    return available, pending
