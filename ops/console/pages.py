"""The pages of the console that are about the whole marketplace, and signing in and out."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from litestar import MediaType, Response, get, post
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Redirect, Template
from nats.js.api import RawStreamMsg

from contracts.wire import now
from kit.security_log import OPERATOR, record
from ops.audit import compare
from ops.audit.ledgers import Period
from ops.audit.report import line as audit_line
from ops.command_line import ORDER_ID
from ops.console.page import (
    AnyRequest,
    act_and_note,
    line_link,
    operators_only,
    page,
    reason_of,
    session_of,
    settings_of,
)
from ops.console.sessions import (
    COOKIE,
    MAX_FAILURES,
    PATH,
    SESSION_SECONDS,
    Sessions,
    TooManyAttempts,
    WrongToken,
)
from ops.dead_letters import ALL, chosen, drop, letters, replay
from ops.errors import CommandError
from ops.health import health
from ops.lookup import NotFound, Unclear, find
from ops.sources import Sources, Unreachable, opened, position_of
from ops.stuck import STATES, lasted, overdue
from streams.delivery import DeadLetter
from streams.processes import CONSUMERS
from streams.topology import DEAD, streams

MOST_LETTERS = 200
"""Dead letters that are shown, the oldest first."""

MOST_DIFFERENCES = 100
"""Differences of the audit that are shown."""

CONFIRM_SECONDS = 0.5
"""Seconds until overdue states are looked for again, while the page is loading."""

PERIODS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}

STATIC = Path(__file__).parents[2] / "static"


# --- Without a session ---


@get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@get("/health/ready")
async def ready() -> dict[str, str]:
    """The console is ready even if nothing else is, because it is for looking at that."""
    return {"status": "ok"}


@get("/")
async def root() -> Redirect:
    return Redirect(PATH, status_code=303)


@get("/ops/sign-in")
async def sign_in_page(request: AnyRequest) -> Template:
    return _sign_in_page()


def _sign_in_page(problem: str = "", status: int = 200) -> Template:
    context: dict[str, Any] = {"title": "Sign in", "operator": None, "notes": [], "problem": problem}
    return Template("sign-in.html", context=context, status_code=status, media_type=MediaType.HTML)


@post("/ops/sign-in")
async def sign_in(request: AnyRequest) -> Template | Redirect:
    form = await request.form()
    sessions: Sessions = request.app.state.sessions
    try:
        value = sessions.sign_in(str(form.get("token", "")))
    except TooManyAttempts:
        record("operator-sign-in", "refused")
        problem = f"{MAX_FAILURES} attempts failed within a minute. Try again in a minute."
        return _sign_in_page(problem, 429)
    except WrongToken:
        record("operator-sign-in", "failure")
        return _sign_in_page("Nobody has this personal token, or it was revoked.", 403)
    session = sessions.find(value)
    record("operator-sign-in", "success", actor=OPERATOR, operator=session.operator if session else None)
    cookie = Cookie(COOKIE, value=value, path=PATH, max_age=SESSION_SECONDS, httponly=True, samesite="strict")
    return Redirect(PATH, status_code=303, cookies=[cookie])


@post("/ops/sign-out")
async def sign_out(request: AnyRequest) -> Redirect:
    request.app.state.sessions.end(request.cookies.get(COOKIE))
    ended = Cookie(COOKIE, value="", path=PATH, max_age=0, httponly=True, samesite="strict")
    return Redirect("/ops/sign-in", status_code=303, cookies=[ended])


@get("/ops/static/{name:str}")
async def asset(name: FromPath[str]) -> Response[bytes]:
    if name not in ASSETS:
        raise HTTPException("Not Found", status_code=404)
    content, media_type = ASSETS[name]
    return Response(content, media_type=media_type)


def _styles() -> bytes:
    """The site's styles and the console's own."""
    css = STATIC / "css"
    first = css / "layers.css"
    others = sorted(path for path in css.rglob("*.css") if path != first)
    return b"\n".join(path.read_bytes() for path in (first, *others, STATIC / "console" / "console.css"))


ASSETS: Mapping[str, tuple[bytes, str]] = {
    "console.css": (_styles(), "text/css; charset=utf-8"),
    "favicon.svg": ((STATIC / "icons" / "favicon.svg").read_bytes(), "image/svg+xml"),
}


# --- With a session ---


@get("/ops", guards=[operators_only])
async def overview(request: AnyRequest) -> Template:
    settings = settings_of(request)
    processes = await health(settings)
    try:
        async with opened(settings) as sources:
            context = await _overview(sources)
    except Unreachable as error:
        context = {"unreachable": str(error), "consumers": [], "streams": [], "overdue": [], "states": []}
    return page(request, "overview.html", "Overview", processes=processes, **context)


async def _overview(sources: Sources) -> Mapping[str, Any]:
    moment = now()
    findings = await overdue(sources, CONFIRM_SECONDS)
    counts = [(state, sum(each.state is state for each in findings)) for state in STATES]
    return {
        "unreachable": None,
        "consumers": [(each, await position_of(sources.js, each)) for each in CONSUMERS],
        "streams": [await _fill(sources, str(config.name)) for config in streams(1)],
        "overdue": [(each, lasted(moment - each.since), _link(each.about)) for each in findings],
        "states": [(state, count) for state, count in counts if count],
    }


def _link(about: str) -> str | None:
    """The address of the page about a finding's `order 65f0…` or `ticket 65f0…`."""
    kind, _, key = about.rpartition(" ")
    if kind.endswith("order") and ORDER_ID.fullmatch(key):
        return f"/ops/orders/{key}"
    if kind == "ticket" and ORDER_ID.fullmatch(key):
        return f"/ops/tickets/{key}"
    return "/ops/dead" if kind == "dead letter" else None


async def _fill(sources: Sources, stream: str) -> Mapping[str, Any]:
    info = await sources.js.stream_info(stream)
    most = max(info.config.max_bytes or 0, 0)
    return {
        "name": stream,
        "messages": info.state.messages,
        "megabytes": info.state.bytes / 1e6,
        "percent": round(100 * info.state.bytes / most) if most else None,
    }


@get("/ops/search", guards=[operators_only])
async def search(request: AnyRequest, q: Annotated[str, QueryParameter(max_length=300)] = "") -> Any:
    """One order leads to its timeline, a person to their page, and several orders to a list."""
    if not q.strip():
        return page(request, "search.html", "Search", q="", found=None, links=[], problem="")
    async with opened(settings_of(request)) as sources:
        try:
            found = await find(sources, q)
        except (NotFound, Unclear) as error:
            return page(request, "search.html", "Search", 404, q=q, found=None, links=[], problem=str(error))
    if found.person:
        return Redirect(f"/ops/people/{found.person}", status_code=303)
    if found.order:
        return Redirect(f"/ops/orders/{found.order}", status_code=303)
    if found.show:
        return Redirect(f"/ops/shows/{found.show}", status_code=303)
    if found.ticket:
        return Redirect(f"/ops/tickets/{found.ticket}", status_code=303)
    links = [(line_link(line), line) for line in found.lines]
    return page(request, "search.html", "Search", q=q, found=found, links=links, problem="")


@get("/ops/dead", guards=[operators_only])
async def dead(request: AnyRequest) -> Template:
    async with opened(settings_of(request)) as sources:
        state = (await sources.js.stream_info(DEAD)).state
        async with aclosing(letters(sources.js)) as found:  # type: ignore[type-var] # a generator
            shown = [letter async for letter in _first(found, MOST_LETTERS)]
    return page(request, "dead.html", "Dead letters", groups=_groups(shown), total=state.messages)


async def _first(found: AsyncIterator[RawStreamMsg], most: int) -> AsyncIterator[RawStreamMsg]:
    count = 0
    async for each in found:
        if count >= most:
            return
        count += 1
        yield each


def _groups(shown: Sequence[RawStreamMsg]) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """The letters of each consumer with the same error. Most often they have the same cause."""
    groups: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for letter in shown:
        headers = letter.headers or {}
        key = headers.get(DeadLetter.CONSUMER, "unknown"), headers.get(DeadLetter.ERROR, "unknown")
        groups[key].append(
            {
                "number": letter.seq,
                "subject": headers.get(DeadLetter.SUBJECT, letter.subject),
                "attempts": headers.get(DeadLetter.ATTEMPTS, "?"),
                "time": letter.time,
                "body": "".join(islice((letter.data or b"").decode("utf-8", "backslashreplace"), 2000)),
            }
        )
    return [(consumer, error, found) for (consumer, error), found in groups.items()]


@post("/ops/dead", guards=[operators_only])
async def act_on_dead(request: AnyRequest) -> Redirect:
    """Replay or drop the chosen letters. A letter that can't be replayed ends the action."""
    form = await request.form()
    numbers = [str(number) for number in form.getall("letter", []) if str(number) != ALL]
    what, reason = str(form.get("action", "")), await reason_of(request)
    session = session_of(request)
    if not numbers:
        session.notes.append("Choose at least one dead letter.")
    elif what == "drop" and not reason:
        session.notes.append("Enter the reason for dropping: it is kept in the log of actions.")
    elif what in ("replay", "drop"):
        handle = replay if what == "replay" else drop

        async def act() -> str:
            done = []
            async with opened(settings_of(request)) as sources:
                try:
                    async for each in chosen(sources.js, numbers):
                        done.append(await handle(sources.js, each))  # noqa: PERF401 - kept if one fails
                except CommandError as error:
                    raise CommandError(" ".join([*done, str(error)])) from error
            return " ".join(done)

        arguments = {"letters": numbers, **({"reason": reason} if reason else {})}
        await act_and_note(request, what, arguments, act)
    return Redirect("/ops/dead", status_code=303)


@get("/ops/audit", guards=[operators_only])
async def audit(request: AnyRequest, since: FromQuery[str] = "") -> Template:
    """The command `audit --only-differences` for a period."""
    if since not in PERIODS:
        return page(request, "audit.html", "Audit", since="", periods=list(PERIODS), lines=None, count=0)
    period, count = Period(now() - PERIODS[since]), 0
    lines: list[tuple[str, str]] = []
    async with aclosing(compare(settings_of(request), period)) as findings:  # type: ignore[type-var] # a generator
        async for finding in findings:
            count += 1
            if finding.differences and len(lines) < MOST_DIFFERENCES:
                lines.append((finding.account.order_id, audit_line(finding)))
    return page(request, "audit.html", "Audit", since=since, periods=list(PERIODS), lines=lines, count=count)


ROUTES = [
    *(live, ready, root, sign_in_page, sign_in, sign_out, asset),
    *(overview, search, dead, act_on_dead, audit),
]
