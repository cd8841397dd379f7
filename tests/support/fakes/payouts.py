"""A fake payouts service with its HTTP contract."""

from aiohttp import web

from contracts.api import PayoutAccount, PayoutAccountBody, PayoutAccountLink, PayoutList, PayoutSums
from tests.support.fakes.http import answer, read
from tests.support.fakes.market import Market, refusal


class Payouts:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/payouts", self.mine),
            web.get("/api/payouts/account", self.account),
            web.post("/api/payouts/account", self.begin),
        ]

    async def mine(self, request: web.Request) -> web.Response:
        user, wanted = self.market.signed_in(request), request.query.getall("orderId", [])
        if request.query.get("after") == "nowhere":
            raise refusal(400, "After must be a cursor of this list", code="bad-cursor")
        all_of_them = [payout for seller, payout in self.market.payouts if seller == user.id]
        found = [payout for payout in all_of_them if not wanted or payout.order_id in wanted]

        def total(state: str, field: str = "held") -> int:
            return sum(getattr(payout, field) for payout in all_of_them if state in ("", payout.state))

        sums = PayoutSums(
            currency="usd",
            sold=total("", "amount"),
            refunded=total("", "refunded_amount"),
            fees=total("", "fee"),
            held=total("held") + total("frozen"),
            due=total("due"),
            waiting=sum(payout.held for payout in all_of_them if payout.needs_account),
            paid=total("", "paid_out"),
            owed=total("", "owed"),
        )
        return answer(PayoutList(payouts=found, sums=[sums] if all_of_them else []))

    async def account(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        return answer(
            PayoutAccount(
                state=self.market.payout_account,
                country=None if self.market.payout_account == "none" else "US",
                countries=["US"],
                fee_percent=5,
                payout_hours=72,
            )
        )

    async def begin(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        if self.market.signed_in_long_ago:
            raise refusal(403, "Sign in again first", code="sign-in-again")
        body = await read(request, PayoutAccountBody)
        if body.country != "US":
            raise refusal(409, f"We can't pay sellers in {body.country}", code="country-unsupported")
        return answer(PayoutAccountLink(url=self.market.onboarding_page), 201)
