"""However purchases, messages and failures interleave, the books come out right."""

from collections.abc import Iterator

import pytest

from tests.saga.guards import GUARDS
from tests.saga.machine import run
from tests.saga.world import World

VIOLATIONS = {
    "unique-index": "payments of one order",
    "idempotency-key": "intents of one order|a page is left open",
    "arbiter": "cancelled became complete",
}
SEEDS = {"arbiter": 8, "idempotency-key": 8}
"""With which it goes wrong within a few sagas; with another version of Hypothesis that may take more."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("saga")).opened() as world:
        yield world


def test_every_order_ends_paid_once_or_not_at_all(world: World) -> None:
    run(world, sagas=40)
    assert world.outcomes["complete/captured"]
    assert world.outcomes["refunded/refunded"]
    assert world.outcomes["cancelled/voided"]


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_the_books_go_wrong(world: World, guard: str) -> None:
    with GUARDS[guard](world), pytest.raises(AssertionError, match=VIOLATIONS[guard]):
        run(world, sagas=400, seed=SEEDS.get(guard))
