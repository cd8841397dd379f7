"""A fake auth service with its HTTP contract."""

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from contracts.api import (
    MyAccount,
    NameBody,
    PasswordBody,
    Profile,
    SessionView,
    SignIn,
    SignUp,
)
from contracts.identity import SESSION_COOKIE
from services.auth.rules import TraderUnidentified
from tests.support.fakes.http import answer, read, signed_in
from tests.support.fakes.market import SIGNER, Market, refusal

SINCE = datetime(2025, 12, 24, tzinfo=UTC)


class Auth:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/users/signup", self.sign_up),
            web.post("/api/users/signin", self.sign_in),
            web.post("/api/users/signout", self.sign_out),
            web.post("/api/users/signout-everywhere", self.sign_out),
            web.post("/api/users/password", self.change_password),
            web.get("/.well-known/jwks.json", self.keys),
            web.get("/api/users/currentuser", self.current_user),
            web.get("/api/users/me", self.account),
            web.get("/api/users/me/open-matters", self.open_matters),
            web.get("/api/users/me/export", self.export),
            web.get("/api/users/sessions", self.sessions),
            web.get("/api/users/passkeys", self.passkeys),
            web.patch("/api/users/me", self.present),
            web.get("/api/users/{id}", self.profile),
        ]

    async def sign_up(self, request: web.Request) -> web.Response:
        body = await read(request, SignUp)
        if any(user.email == body.email for user, _ in self.market.users.values()):
            raise refusal(409, "Email in use", code="email-in-use")
        user, token = self.market.user(body.email, body.password)
        if body.language is not None:
            self.market.languages[user.id] = body.language
        return signed_in(user, token, 201)

    async def sign_in(self, request: web.Request) -> web.Response:
        body = await read(request, SignIn)
        for token, (user, password) in self.market.users.items():
            if (user.email, password) == (body.email, body.password):
                return signed_in(user, token, 200)
        raise refusal(401, "Invalid credentials")

    async def sign_out(self, request: web.Request) -> web.Response:
        answer = web.json_response({})
        answer.del_cookie(SESSION_COOKIE, path="/", httponly=True)
        return answer

    async def change_password(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        body = await read(request, PasswordBody)
        token, (_, password) = next(item for item in self.market.users.items() if item[1][0] == user)
        if body.current_password != password:
            raise refusal(403, "Your current password is wrong")
        self.market.users[token] = (user, body.new_password)
        return signed_in(user, token, 200)

    async def profile(self, request: web.Request) -> web.Response:
        user = request.match_info["id"]
        return answer(Profile(id=user, since=SINCE, **self._selling(user)))

    async def account(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        account = MyAccount(
            id=user.id,
            email=user.email,
            name=None,
            since=SINCE,
            confirmed=False,
            restricted=False,
            **self._selling(user.id),
            language=self.market.languages.get(user.id),
        )
        return answer(account)

    def _selling(self, user: str) -> dict[str, Any]:
        market = self.market
        return {"trader": market.traders.get(user), "trader_details": market.trader_details.get(user)}

    async def present(self, request: web.Request) -> web.Response:
        user, body = self.market.signed_in(request), await read(request, NameBody)
        if body.trader and body.trader_details is None:
            raise refusal(
                400, TraderUnidentified.message, code=TraderUnidentified.code, field="traderDetails"
            )
        if body.trader is not None:
            self.market.traders[user.id] = body.trader
            self.market.trader_details.pop(user.id, None)
        if body.trader_details is not None:
            self.market.trader_details[user.id] = body.trader_details
        if body.language is not None:
            self.market.languages[user.id] = body.language
        return await self.account(request)

    async def sessions(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        session = SessionView(
            id="65f0c0ffee0000000000000d",
            device="Firefox on Linux",
            network=None,
            started_at=SINCE,
            used_at=SINCE,
            current=True,
        )
        return web.json_response([json.loads(session.to_json())])

    async def passkeys(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        return web.json_response([])

    async def open_matters(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        return web.json_response([])

    async def export(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        return web.json_response({})

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response(SIGNER.jwks)

    async def current_user(self, request: web.Request) -> web.Response:
        user = self.market.caller(request)
        return web.json_response({"currentUser": json.loads(user.to_json()) if user else None})
