"""Sales and accounts in HTTP responses."""

from contracts.api import Payout, PayoutSums
from contracts.api import PayoutAccount as AccountView
from services.payouts.documents import PayoutAccount, Sale
from services.payouts.ledger import Amounts
from settings import Settings


def view_of(sale: Sale) -> Payout:
    """The sale as its seller sees it."""
    return Payout(
        order_id=sale.key,
        title=sale.title,
        code=sale.code,
        ticket_id=sale.ticket_id,
        seat=sale.seat,
        starts_at=sale.event_starts_at,
        time_zone=sale.time_zone,
        state=sale.state,
        amount=sale.gross,
        fee=sale.kept_fee,
        refunded_amount=sale.returned,
        net=max(sale.net, 0),
        paid_out=sale.paid_out,
        held=sale.held,
        owed=sale.owed,
        settled_amount=sum(part.amount for part in sale.offsets),
        currency=sale.currency,
        due_at=sale.due_at,
        paid_at=sale.paid_at,
        needs_account=sale.needs_account,
    )


async def sums_of(seller: str) -> list[PayoutSums]:
    """The sums of all sales of a seller by currency: balances of the ledger, and how much of them is due."""
    found = await Sale.due_of(seller)
    return [
        _sums(currency, balances, *found.get(currency, (0, 0)))
        for currency, balances in sorted((await Sale.balances_of(seller)).items())
    ]


def _sums(currency: str, balances: Amounts, due: int, waiting: int) -> PayoutSums:
    return PayoutSums(
        currency=currency,
        sold=balances.received,
        refunded=balances.refunded + balances.lost,
        fees=balances.fees,
        held=max(balances.held - due, 0),
        due=due,
        waiting=waiting,
        paid=balances.paid_out,
        owed=balances.owed,
    )


def account_view(account: PayoutAccount | None, settings: Settings) -> AccountView:
    """The seller's account, and what holds for new sales."""
    return AccountView(
        state=account.state if account is not None else "none",
        country=account.country if account is not None else None,
        payout_failed=account is not None and account.payout_failed,
        countries=settings.payout_countries,
        fee_percent=float(settings.fee_percent),
        payout_hours=settings.payout_hours,
    )
