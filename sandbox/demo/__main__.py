"""`python -m sandbox.demo` fills a running marketplace with tickets, users and orders in every state."""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

import httpx

import settings
from sandbox.demo import concerts, outings, shows
from sandbox.demo.fill import fill
from sandbox.demo.programme import PASSWORD, Listing, email_of, listings, people
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
    bought, sold, offers = (
        defaultdict[str, list[str]](list),
        defaultdict[str, int](int),
        defaultdict[str, int](int),
    )
    for listing in listed:
        offer = listing.offer
        offers[offer.seller] += 1
        sold[offer.seller] += offer.ending == "paid"
        if offer.buyer and offer.ending not in bought[offer.buyer]:
            bought[offer.buyer].append(str(offer.ending))
    lines = [f"{done.get('tickets', 0)} tickets and {done.get('orders', 0)} orders are new at {site}"]
    lines += ["", f"Sign in as one of these; the password is always: {PASSWORD}"]
    names = sorted(people(listed), key=lambda name: (-len(bought[name]), -sold[name]))
    for name in names:
        buys = f"bought: {', '.join(bought[name])}" if bought[name] else ""
        sells = f"sells: {offers[name]} tickets, {sold[name]} of them sold" if offers[name] else ""
        lines.append(f"  {email_of(name):24} {'; '.join(filter(None, (buys, sells)))}")
    return "\n".join(lines)


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
