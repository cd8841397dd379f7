"""How long a buyer waits from paying until the uploaded ticket can be read."""

import time
from functools import partial

from bench.failure import Failed
from bench.figures import Figure, quantile
from bench.market import Market
from bench.suite import Suite, Workload
from tests.support.people import Person, random_word
from tests.support.polling import until
from tests.support.ticket_files import pdf

SALES = 8
"""Sales for each second of `Effort.seconds`, one after the other."""


async def measure(suite: Suite) -> list[Figure]:
    count = max(4, round(SALES * suite.effort.seconds))
    runs = [[await _sale(suite.market) for _ in range(count)] for _ in range(suite.effort.runs)]
    uploads = [[upload for upload, _ in run] for run in runs]
    reads = [[read for _, read in run] for run in runs]
    figure = partial(Figure, workload=f"{count} sales of an uploaded ticket", unit="ms")
    return [
        figure(name="upload p50", runs=[quantile(run, 0.5) for run in uploads]),
        figure(name="payment to ticket p50", runs=[quantile(run, 0.5) for run in reads]),
        figure(name="payment to ticket p95", runs=[quantile(run, 0.95) for run in reads]),
    ]


async def _sale(market: Market) -> tuple[float, float]:
    """The milliseconds of an upload, and from sending the payment until the buyer has the whole file."""
    seller, buyer = market.seller, market.buyers[1]
    ticket = (await seller.lists_ticket())["id"]
    content = pdf([random_word()])
    began = time.perf_counter()
    answer = await seller.client.post(f"/api/tickets/{ticket}/files", content=content)
    uploaded = time.perf_counter()
    if answer.status_code != 201:
        raise Failed(f"the upload answered {answer.status_code}: {answer.text[:300]}")
    file = answer.json()["id"]
    reserved = await until(lambda: buyer.tries_to_reserve(ticket), lambda it: it.status_code == 201)
    paid = time.perf_counter()
    answer = await buyer.pays(reserved.json()["id"])
    if answer.status_code != 201:
        raise Failed(f"the payment answered {answer.status_code}: {answer.text[:300]}")
    received = await _receive(buyer, f"/api/tickets/{ticket}/files/{file}")
    read = time.perf_counter()
    if received != content:
        raise Failed("the buyer received another file")
    return 1000 * (uploaded - began), 1000 * (read - paid)


async def _receive(buyer: Person, path: str) -> bytes:
    answer = await until(lambda: buyer.client.get(path), lambda it: it.status_code != 403)
    if answer.status_code != 200:
        raise Failed(f"the file answered {answer.status_code}: {answer.text[:300]}")
    return answer.content


FILES = {"files": Workload("sales of an uploaded ticket", measure)}
