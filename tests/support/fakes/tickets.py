"""A fake tickets service with its HTTP contract."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from typing import Any, cast, get_args

from aiohttp import web

from contracts.api import (
    Alert,
    AlertBody,
    AlertList,
    FileList,
    Highlights,
    ListingReport,
    ListingReportBody,
    PrivateNoteBody,
    SalesSummary,
    Seller,
    ShowOffer,
    ShowPage,
    Sum,
    Ticket,
    TicketBody,
    TicketFile,
)
from contracts.money import price_per_ticket
from contracts.problems import Problem, ProblemItem
from contracts.tickets import CATEGORIES, MAX_FILE_BYTES, MAX_PICTURE_BYTES, Category
from contracts.wire import now
from services.tickets.query import Query, When
from services.tickets.reports.rules import ListingReported, OwnListing
from services.tickets.search_index import SearchIndex
from services.tickets.search_shows import newest, soonest, still_offered
from services.tickets.search_sql import Sort
from services.tickets.shows.rules import grouped, price_range
from tests.support.fakes.http import answer, json_list, read
from tests.support.fakes.market import Market, Refusal, refusal


class Tickets:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/tickets", self.search),
            web.get("/api/tickets/facets", self.facets),
            web.get("/api/tickets/mine", self.mine),
            web.get("/api/tickets/mine/summary", self.my_sales),
            web.get("/api/tickets/{id}", self.show),
            web.post("/api/tickets", self.create),
            web.put("/api/tickets/{id}", self.edit),
            web.delete("/api/tickets/{id}", self.withdraw),
            web.put("/api/tickets/{id}/private-note", self.set_private_note),
            web.put("/api/tickets/{id}/picture", self.upload_picture),
            web.delete("/api/tickets/{id}/picture", self.delete_picture),
            web.get("/api/tickets/{id}/files", self.files),
            web.post("/api/tickets/{id}/files", self.add_file),
            web.get("/api/tickets/{id}/files/{file}", self.read_file),
            web.delete("/api/tickets/{id}/files/{file}", self.remove_file),
            web.get("/api/tickets/{id}/similar", self.similar),
            web.post("/api/tickets/{id}/reports", self.report),
            web.get("/api/tickets/sellers/{id}", self.seller),
            web.get("/api/alerts", self.alerts),
            web.post("/api/alerts", self.add_alert),
            web.delete("/api/alerts/{id}", self.remove_alert),
            web.get("/api/shows", self.shows),
            web.get("/api/shows/search", self.offered),
            web.get("/api/shows/highlights", self.highlights),
            web.get("/internal/upcoming-shows", self.upcoming_shows),
            web.get("/api/shows/{id}", self.show_event),
        ]

    async def search(self, request: web.Request) -> web.Response:
        if (after := request.query.get("after", "~")) == "nowhere":
            raise refusal(400, "After must be a cursor of this list", code="bad-cursor")
        limit = int(request.query.get("limit", self.market.page_size))
        with self._on_sale() as index:
            query = index.corrected(_query(request))
            found, total = index.find(query, "newest", (after,), limit + 1, now())
        page = found[:limit]
        result = json_list([self.market.tickets[hit.id] for hit in page])
        result.headers["X-Total-Count"] = str(total)
        if found[limit:]:
            following = request.rel_url.update_query(after=page[-1].id)
            result.headers["Link"] = f'<{following}>; rel="next"'
        return result

    async def facets(self, request: web.Request) -> web.Response:
        if not self.market.has_facets:
            raise refusal(500, "Something went wrong")
        query = _query(request)
        with self._on_sale() as index:
            wanted = index.corrected(query)
            corrected = None if wanted is query else wanted.text
            return answer(index.facets(wanted, now()).model_copy(update={"corrected": corrected}))

    @contextmanager
    def _on_sale(self) -> Iterator[SearchIndex]:
        """An index of the tickets on sale."""
        with closing(SearchIndex()) as index:
            for ticket in self.market.tickets.values():
                if ticket.status == "available":
                    index.put(ticket, b"")
            index.drop_begun(now())
            yield index

    async def mine(self, request: web.Request) -> web.Response:
        status, after = request.query.get("status"), request.query.get("after", "~")
        if after == "nowhere":
            raise refusal(400, "After must be a cursor of this list", code="bad-cursor")
        found = [t for t in self._mine(request) if t.id < after and (status is None or t.status == status)]
        limit = int(request.query.get("limit", 1000))
        result = json_list(found[:limit])
        if found[limit:]:
            following = request.rel_url.update_query(after=found[limit - 1].id)
            result.headers["Link"] = f'<{following}>; rel="next"'
        return result

    async def my_sales(self, request: web.Request) -> web.Response:
        mine = self._mine(request)
        sums = {
            name: _sum([t for t in mine if t.status == name])
            for name in ("available", "reserved", "sold", "withdrawn")
        }
        until = self.market.files_required_until.get(self.market.signed_in(request).id)
        return answer(SalesSummary(**sums, refunded=_refunds(mine), files_required_until=until))

    def _mine(self, request: web.Request) -> list[Ticket]:
        """The user's own tickets, newest first."""
        user = self.market.signed_in(request)
        return [t for t in reversed(self.market.tickets.values()) if t.user_id == user.id]

    async def show(self, request: web.Request) -> web.Response:
        ticket, caller = self._ticket(request), self.market.caller(request)
        order = self.market.orders.get(ticket.order_id or "")
        if caller is None or caller.id not in (ticket.user_id, order and order.user_id):
            ticket = ticket.model_copy(update={"order_id": None, "order_code": None, "private_note": None})
        elif caller.id != ticket.user_id and (ticket.status != "sold" or ticket.refunded):
            ticket = ticket.model_copy(update={"private_note": None})
        return answer(ticket)

    async def create(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        body = await read(request, TicketBody)
        if self.market.refuses_price:
            raise refusal(400, self.market.refuses_price, code="price-above-cap", field="price")
        key = (user.id, request.headers["Idempotency-Key"])
        if key not in self.market.listings:
            ticket = self.market.ticket(user, **_details(body))
            self.market.listings[key] = (body.model_dump_json(), ticket)
        first_body, ticket = self.market.listings[key]
        if first_body != body.model_dump_json():
            raise refusal(
                409, "Another ticket was listed with the same Idempotency-Key", code="idempotency-key-reused"
            )
        return answer(self.market.tickets[ticket.id], 201)

    async def edit(self, request: web.Request) -> web.Response:
        ticket = self._own(request)
        body = await read(request, TicketBody)
        if ticket.status != "available":
            raise refusal(409, "Cannot edit a reserved ticket")
        self.market.change_ticket(ticket.id, **_details(body))
        return answer(self._ticket(request))

    async def withdraw(self, request: web.Request) -> web.Response:
        ticket = self._own(request)
        if ticket.status != "available":
            raise refusal(409, "Cannot withdraw a reserved ticket")
        self.market.change_ticket(ticket.id, status="withdrawn")
        return web.Response(status=204)

    async def report(self, request: web.Request) -> web.Response:
        user, ticket = self.market.signed_in(request), self._ticket(request)
        body = await read(request, ListingReportBody)
        if user.id == ticket.user_id:
            raise refusal(403, OwnListing.message, code=OwnListing.code)
        if self.market.reports.setdefault((user.id, ticket.id), body) != body:
            raise refusal(409, ListingReported.message, code=ListingReported.code)
        return answer(ListingReport(**dict(body), reported_at=now(), state="open"))

    async def set_private_note(self, request: web.Request) -> web.Response:
        ticket, body = self._own(request), await read(request, PrivateNoteBody)
        self.market.tickets[ticket.id] = ticket.model_copy(update={"private_note": body.private_note})
        return answer(self._ticket(request))

    async def upload_picture(self, request: web.Request) -> web.Response:
        ticket, upload = self._own(request), await request.read()
        if len(upload) > MAX_PICTURE_BYTES:
            raise refusal(413, "Request Entity Too Large")
        if not upload.startswith(b"\xff\xd8\xff"):
            raise refusal(415, "The picture must be a JPEG, PNG or WebP")
        if ticket.status != "available":
            raise refusal(409, "Cannot edit a reserved ticket")
        name = f"{len(self.market.pictures):064x}"
        self.market.pictures[name] = upload
        self.market.change_ticket(ticket.id, picture=name)
        return answer(self._ticket(request))

    async def delete_picture(self, request: web.Request) -> web.Response:
        self.market.change_ticket(self._own(request).id, picture=None)
        return web.Response(status=204)

    async def files(self, request: web.Request) -> web.Response:
        user, ticket = self.market.signed_in(request), self._ticket(request)
        if user.id != ticket.user_id and not self._has_bought(request):
            raise refusal(403, "Only its buyer can read the files of a ticket", code="not-the-files-owner")
        files = self.market.files.get(ticket.id, [])
        return answer(
            FileList(
                delivery=ticket.delivery,
                files_ready_at=ticket.files_ready_at,
                quantity=ticket.quantity,
                seats=sum(file.seats for file in files),
                can_upload=user.id == ticket.user_id and ticket.files_ready_at is None,
                can_remove=user.id == ticket.user_id and ticket.status == "available",
                can_read=self._has_bought(request),
                files=files,
            )
        )

    async def add_file(self, request: web.Request) -> web.Response:
        ticket, upload = self._own(request), await request.read()
        if len(upload) > MAX_FILE_BYTES:
            raise refusal(413, "Request Entity Too Large")
        if not upload.startswith(b"%PDF-"):
            message = "The file must be a PDF, PNG, JPEG or Apple Wallet pass"
            raise refusal(415, message, code="not-a-ticket-file")
        if b"taken" in upload:
            raise refusal(409, "This ticket is in another listing already", code="code-taken")
        if ticket.status == "sold":
            raise refusal(409, "The files of this ticket can't change any more", code="files-final")
        known = self.market.files.setdefault(ticket.id, [])
        file = TicketFile(
            id=f"{len(known):032x}",
            kind="pdf",
            size=len(upload),
            seats=ticket.quantity,
            code_found=b"code" in upload,
            uploaded_at=now(),
            reads=0,
        )
        known.append(file)
        self.market.change_ticket(ticket.id, delivery="instant", files_ready_at=now())
        return answer(file, 201)

    async def read_file(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        ticket = self._ticket(request)
        files = self.market.files.get(ticket.id, [])
        if all(file.id != request.match_info["file"] for file in files):
            raise refusal(404, "Not found")
        if not self._has_bought(request):
            raise refusal(403, "Only its buyer can read the files of a ticket", code="not-the-files-owner")
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="ticket-1.pdf"',
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        }
        return web.Response(body=b"%PDF-", content_type="application/pdf", headers=headers)

    async def remove_file(self, request: web.Request) -> web.Response:
        ticket = self._own(request)
        if ticket.status == "reserved":
            raise refusal(409, "Files can't be removed while somebody is paying")
        self.market.files[ticket.id] = []
        self.market.change_ticket(ticket.id, delivery="seller", files_ready_at=None)
        return web.Response(status=204)

    def _has_bought(self, request: web.Request) -> bool:
        user, ticket = self.market.signed_in(request), self._ticket(request)
        order = self.market.orders.get(ticket.order_id or "")
        return order is not None and order.user_id == user.id and ticket.status == "sold"

    async def similar(self, request: web.Request) -> web.Response:
        others = [t for t in self.market.tickets.values() if t.status == "available"]
        return json_list([t for t in others if t.id != self._ticket(request).id][:4])

    async def seller(self, request: web.Request) -> web.Response:
        user_id = request.match_info["id"]
        sold = [t for t in self.market.tickets.values() if (t.user_id, t.status) == (user_id, "sold")]
        return answer(Seller(id=user_id, sold=len(sold), **self.market.records.get(user_id, {})))

    async def shows(self, request: web.Request) -> web.Response:
        wanted = request.query.get("search", "").lower()
        return json_list([show for show in self.market.shows.values() if wanted in show.title.lower()])

    async def offered(self, request: web.Request) -> web.Response:
        with self._on_sale() as index:
            shows = soonest(index, index.corrected(_query(request)), 6, now())
        return json_list(self._offers(shows, 3))

    async def highlights(self, request: web.Request) -> web.Response:
        city = request.query.get("city", "")
        sold = [ticket.show_id for ticket in self.market.tickets.values() if ticket.status == "sold"]
        popular = [show_id for show_id in dict.fromkeys(sold) if show_id is not None]
        with self._on_sale() as index:
            lists = {
                "weekend": soonest(index, Query(city=city, when="weekend"), 8, now()),
                "upcoming": soonest(index, Query(city=city), 8, now()),
                "recent": newest(index, city, 8),
                "popular": still_offered(index, popular, city, 8),
            }
        return answer(Highlights(**{name: self._offers(shows, 0) for name, shows in lists.items()}))

    def _offers(self, shows: list[str], tickets: int) -> list[ShowOffer]:
        offers = []
        for show in (self.market.shows[each] for each in shows if each in self.market.shows):
            listed = [t for t in self.market.tickets.values() if t.show_id == show.id]
            on_sale = [ticket for ticket in listed if ticket.status == "available"]
            on_sale.sort(key=lambda ticket: price_per_ticket(ticket.price, ticket.quantity))
            lowest, _ = price_range(on_sale)
            values = {"lowest": lowest, "on_sale": len(on_sale), "tickets": on_sale[:tickets]}
            offers.append(ShowOffer.model_validate({**show.model_dump(), **values}))
        return offers

    async def upcoming_shows(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.market.shows))

    async def show_event(self, request: web.Request) -> web.Response:
        show_id = request.match_info["id"]
        if (survivor := self.market.merged.get(show_id)) is not None:
            return web.Response(status=308, headers={"Location": f"/api/shows/{survivor}"})
        if (show := self.market.shows.get(show_id)) is None:
            raise refusal(404, "Not found")
        listed = [ticket for ticket in self.market.tickets.values() if ticket.show_id == show_id]
        tickets = [ticket for ticket in listed if ticket.status != "withdrawn"]
        others = [other for other in self.market.shows.values() if other.id != show_id]
        lowest, highest = price_range(tickets)
        page = ShowPage(
            **show.model_dump(),
            lowest=lowest,
            highest=highest,
            on_sale=sum(ticket.status == "available" for ticket in tickets),
            groups=grouped(tickets),
            other_dates=[other for other in others if other.title == show.title],
            at_venue=[o for o in others if o.venue == show.venue and o.title != show.title],
        )
        return answer(page)

    async def alerts(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        mine = [alert for owner, alert in self.market.alerts if owner == user.id]
        return answer(AlertList(alerts=mine, matches=self.market.matches))

    async def add_alert(self, request: web.Request) -> web.Response:
        user, body = self.market.signed_in(request), await read(request, AlertBody)
        if self.market.refuses_alert is not None:
            raise refusal(409, self.market.refuses_alert, code="too-many-alerts")
        alert = Alert(
            id=self.market.new_id(),
            kind=body.kind,
            show=self.market.shows.get(body.show_id or ""),
            performer=body.performer,
            price_to=body.price_to,
            quantity=body.quantity,
            created_at=now(),
        )
        self.market.alerts.append((user.id, alert))
        return answer(alert, 201)

    async def remove_alert(self, request: web.Request) -> web.Response:
        user, gone = self.market.signed_in(request), request.match_info["id"]
        kept = [(owner, alert) for owner, alert in self.market.alerts if (owner, alert.id) != (user.id, gone)]
        self.market.alerts[:] = kept
        return web.Response(status=204)

    def _ticket(self, request: web.Request) -> Ticket:
        ticket = self.market.tickets.get(request.match_info["id"])
        if ticket is None:
            raise refusal(404, "Not found")
        return ticket

    def _own(self, request: web.Request) -> Ticket:
        user, ticket = self.market.signed_in(request), self._ticket(request)
        if ticket.user_id != user.id:
            raise refusal(403, "That isn't yours")
        return ticket


def _details(body: TicketBody) -> dict[str, Any]:
    """The fields of the ticket that the body sets."""
    details = {name: value for name, value in body if name != "performers"}
    return {**details, "delivery": "promised"} if details.pop("promised") else details


def _sum(tickets: list[Ticket]) -> Sum:
    return Sum(count=len(tickets), amount=int(sum(ticket.price for ticket in tickets) * 100))


def _refunds(tickets: list[Ticket]) -> Sum:
    refunded = [ticket for ticket in tickets if ticket.refunded]
    partly = sum(ticket.refunded_amount or 0 for ticket in tickets if not ticket.refunded)
    return Sum(count=len(refunded), amount=_sum(refunded).amount + partly)


def _query(request: web.Request) -> Query:
    given = request.query
    prices = {}
    for name in {"minPrice", "maxPrice"} & given.keys():
        try:
            prices[name] = float(given[name])
        except ValueError:
            raise _wrong(name) from None
    for name, values in (
        ("category", CATEGORIES),
        ("when", get_args(When)),
        ("delivery", ("instant",)),
        ("sort", get_args(Sort)),
    ):
        if name in given and given[name] not in values:
            raise _wrong(name)
    days = {name: date.fromisoformat(given[name]) for name in ("from", "to") if name in given}
    return Query(
        text=given.get("q", ""),
        city=given.get("city", ""),
        category=cast("Category | None", given.get("category")),
        when=cast("When | None", given.get("when")),
        starts_from=days.get("from"),
        starts_to=days.get("to"),
        min_price=prices.get("minPrice"),
        max_price=prices.get("maxPrice"),
        is_instant=given.get("delivery") == "instant",
    )


def _wrong(name: str) -> Refusal:
    item = ProblemItem(message=f"{name.capitalize()} isn't valid", field=name)
    return Refusal(Problem(type="about:blank", title=item.message, status=400, errors=[item]))
