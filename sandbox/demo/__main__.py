"""`python -m sandbox.demo` fills a running marketplace with tickets, users and orders in every state."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import httpx

import settings
from sandbox.demo import concerts, outings, shows
from sandbox.demo.fill import fill
from sandbox.demo.programme import BOUGHT, BUYER, PASSWORD, SELLER, Listing, email_of, listings, people
from sandbox.demo.user import Wrong
from sandbox.log import write
from sandbox.processes import ROOT
from settings import Settings

PROGRAMME = listings(
    *(concerts.MUSIC, concerts.FESTIVALS),
    *(shows.THEATRE, shows.COMEDY, shows.FAMILY),
    *(outings.SPORT, outings.ART, outings.OTHER),
)


def farewell(site: str, listed: Sequence[Listing], done: Mapping[str, int]) -> str:
    sells = Counter(listing.offer.seller for listing in listed)
    sold = Counter(listing.offer.seller for listing in listed if listing.offer.ending in BOUGHT)
    buys = Counter(listing.offer.buyer for listing in listed)
    lines = [f"{done.get('tickets', 0)} tickets and {done.get('orders', 0)} orders are new at {site}"]
    lines += ["", f"Sign in as one of these; the password is always: {PASSWORD}"]
    for name in sorted(people(listed), key=lambda name: (name != BUYER, name != SELLER, -sold[name])):
        told = [_many(buys[name], "order") + " in every state" * (name == BUYER)] if buys[name] else []
        told += [_many(sells[name], "ticket") + " in every state" * (name == SELLER)] if sells[name] else []
        told += [f"{sold[name]} of them sold"] if sold[name] else []
        lines.append(f"  {email_of(name):24} {', '.join(told)}")
    return "\n".join(lines)


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def run(conf: Settings) -> int:
    """The exit code: 1 when the marketplace isn't there or doesn't do what it should."""
    try:
        done = asyncio.run(fill(conf, PROGRAMME))
    except (httpx.ConnectError, httpx.ConnectTimeout):
        write(f"No marketplace answers at {conf.site}. Start it with `just up`, then run `just demo` again.")
        return 1
    except (Wrong, httpx.HTTPError) as problem:
        write(f"The demo stopped: {str(problem) or repr(problem)}")
        return 1
    write(farewell(conf.site, PROGRAMME, done))
    return 0


def main() -> int:
    os.chdir(ROOT)  # where .env is looked for
    configured = settings.load()
    if configured.stripe_key is not None and "_live_" in configured.stripe_key.get_secret_value():
        write("STRIPE_KEY is a live one: sample tickets have no place where money is real.")
        return 1
    return run(configured)


if __name__ == "__main__":
    sys.exit(main())
