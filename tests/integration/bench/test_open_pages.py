"""The benchmark of the requests to Stripe for open Checkout pages."""

from datetime import timedelta
from pathlib import Path

import pytest

from bench.workloads.open_pages import requests_within
from kit.mongo import database
from sandbox.testing import mongo_server
from services.payments.documents import OrderReplica, Payment

MINUTES = timedelta(minutes=1)


@pytest.mark.parametrize("replicas", [1, 3])
async def test_any_number_of_replicas_sends_the_same_requests(replicas: int, tmp_path: Path) -> None:
    async with mongo_server(tmp_path / "mongo") as url, database(url, "payments", [Payment, OrderReplica]):
        sent = await requests_within(
            10 * MINUTES, pages=5, replicas=replicas, window=60 * MINUTES, folder=tmp_path
        )
    assert sent == 5 * 3  # after 2, 4 and 8 minutes


async def test_a_page_whose_order_has_ended_is_replaced(tmp_path: Path) -> None:
    async with mongo_server(tmp_path / "mongo") as url, database(url, "payments", [Payment, OrderReplica]):
        sent = await requests_within(10 * MINUTES, pages=2, replicas=1, window=5 * MINUTES, folder=tmp_path)
        pages = await Payment.get_pymongo_collection().count_documents({})
    assert (sent, pages) == (2 * 2 * 3, 2)  # after 2, 4 and 4.5 minutes
