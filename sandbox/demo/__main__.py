"""`python -m sandbox.demo` fills a running marketplace with users, tickets and orders in every state."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import httpx

import settings
from sandbox.demo import concerts, outings, shows
from sandbox.demo.fill import fill
from sandbox.demo.past import PAST
from sandbox.demo.programme import BUYER, PASSWORD, SELLER, SOLD, Listing, email_of, listings, people
from sandbox.demo.user import UnexpectedResponse
from sandbox.log import write
from sandbox.processes import ROOT
from settings import Settings

PROGRAMME = [
    *listings(
        *(concerts.MUSIC, concerts.FESTIVALS),
        *(shows.THEATRE, shows.COMEDY, shows.FAMILY),
        *(outings.SPORT, outings.ART, outings.OTHER),
    ),
    *listings(PAST),
]


def summary(site: str, listed: Sequence[Listing], created: Mapping[str, int]) -> str:
    """A summary of the created tickets and orders, and of the users who can sign in."""
    sells = Counter(listing.offer.seller for listing in listed)
    sold = Counter(listing.offer.seller for listing in listed if listing.offer.outcome in SOLD)
    buys = Counter(listing.offer.buyer for listing in listed)
    lines = [f"Created {created.get('tickets', 0)} tickets and {created.get('orders', 0)} orders at {site}"]
    lines += ["", f"Sign in as one of these users; the password of each is: {PASSWORD}"]
    for name in sorted(people(listed), key=lambda name: (name != BUYER, name != SELLER, -sold[name])):
        facts = [_count(buys[name], "order") + " in every state" * (name == BUYER)] if buys[name] else []
        facts += [_count(sells[name], "ticket") + " in every state" * (name == SELLER)] if sells[name] else []
        facts += [f"{sold[name]} of them sold"] if sold[name] else []
        lines.append(f"  {email_of(name):24} {', '.join(facts)}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def run(conf: Settings) -> int:
    """Fill the marketplace. Return exit code 1 if none is running or a response is unexpected."""
    try:
        created = asyncio.run(fill(conf, PROGRAMME))
    except (httpx.ConnectError, httpx.ConnectTimeout):
        write(f"No marketplace answers at {conf.site}. Start it with `just up`, then run `just demo` again.")
        return 1
    except (UnexpectedResponse, httpx.HTTPError) as error:
        write(f"The demo stopped: {str(error) or repr(error)}")
        return 1
    write(summary(conf.site, PROGRAMME, created))
    return 0


def main() -> int:
    os.chdir(ROOT)  # the folder of .env
    configured = settings.load()
    if configured.stripe_key is not None and "_live_" in configured.stripe_key.get_secret_value():
        write("STRIPE_KEY is a live key. The demo refuses to list sample tickets where money is real.")
        return 1
    return run(configured)


if __name__ == "__main__":
    sys.exit(main())
