"""An upgrade can create all indexes while instances of the version before still use theirs."""

from collections.abc import Iterator
from typing import Any

import pytest

from kit.indexes import Definition
from ops.releases import DatabaseIndexes, current_indexes, released_indexes, versions

DISTINGUISHING = ("key", "unique", "sparse", "partialFilterExpression", "collation")
"""MongoDB accepts no second index that differs from another one only in its name and in other options."""

Index = tuple[str, str, str]
"""Database, collection and name."""


def each(indexes: DatabaseIndexes) -> Iterator[tuple[Index, Definition]]:
    for database, collections in indexes.items():
        for collection, names in collections.items():
            for name, definition in names.items():
                yield (database, collection, name), definition


def conflicts(released: DatabaseIndexes, current: DatabaseIndexes) -> list[str]:
    """Why the current indexes can't be created on a database that has the released ones."""
    before = dict(each(released))
    found = []
    for index, definition in each(current):
        if before.get(index, definition) != definition:
            found.append(f"{'.'.join(index)} was released with another definition: give it a new name")
        twins = [
            name
            for (*place, name), other in before.items()
            if tuple(place) == index[:2] and name != index[2] and _signature(other) == _signature(definition)
        ]
        found += [f"MongoDB refuses {'.'.join(index)} while {twin} has the same keys" for twin in twins]
    return found


def _signature(definition: Definition) -> list[Any]:
    return [definition.get(option) for option in DISTINGUISHING]


@pytest.mark.parametrize("version", versions())
def test_a_released_name_keeps_its_definition_and_new_indexes_fit_beside_released_ones(version: str) -> None:
    assert conflicts(released_indexes(version), current_indexes()) == []


def one(name: str, **definition: Any) -> DatabaseIndexes:
    return {"orders": {"orders": {name: {"key": [["user_id", 1]], **definition}}}}


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (one("of_buyer", unique=True), "orders.orders.of_buyer was released with another definition"),
        (
            one("of_buyer", key=[["user_id", -1]]),
            "orders.orders.of_buyer was released with another definition",
        ),
        (
            one("of_buyer", expireAfterSeconds=5),
            "orders.orders.of_buyer was released with another definition",
        ),
        (one("of_user"), "MongoDB refuses orders.orders.of_user while of_buyer has the same keys"),
        (one("expiry", expireAfterSeconds=5), "MongoDB refuses orders.orders.expiry while of_buyer"),
    ],
)
def test_a_change_that_an_upgrade_cannot_make_is_found(current: DatabaseIndexes, expected: str) -> None:
    (found,) = conflicts(one("of_buyer"), current)
    assert found.startswith(expected)


@pytest.mark.parametrize(
    "current",
    [
        {},
        one("of_buyer"),
        one("one_of_buyer", unique=True),
        one("of_buyer_by_status", key=[["user_id", 1], ["status", 1]]),
        {"orders": {"others": one("of_user")["orders"]["orders"]}},
    ],
)
def test_a_removed_index_and_a_changed_one_with_a_new_name_are_accepted(current: DatabaseIndexes) -> None:
    assert conflicts(one("of_buyer"), current) == []
