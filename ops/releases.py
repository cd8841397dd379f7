"""What versions released: their events and their indexes, in `contracts/released/<version>/`.

`just release-contracts` runs this module, which adds the current version.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

import contracts
from contracts.events import ALL_EVENTS, Event
from kit.indexes import Indexes, declared
from streams.processes import PROCESSES

FOLDER = Path(contracts.__file__).parent / "released"

DatabaseIndexes = Mapping[str, Indexes]
"""The indexes of each service's database, which has the service's name."""

Schema = dict[str, Any]
"""A JSON Schema."""


def versions() -> list[str]:
    """The released versions, oldest first."""
    return sorted((path.name for path in FOLDER.iterdir() if path.is_dir()), key=_order)


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def current_indexes() -> DatabaseIndexes:
    """The indexes that this version needs."""
    return {service.name: declared(service.documents) for service in PROCESSES if service.documents}


@cache
def released_indexes(version: str) -> DatabaseIndexes:
    """The indexes that a released version needs."""
    found: dict[str, Any] = _read(FOLDER / version / "indexes.json")
    return found


class _Written(GenerateJsonSchema):
    """The schema of what `to_json` writes: every field, also if it has its default value."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True


def schemas(event: type[Event]) -> dict[str, Schema]:
    """What processes of this version write into an event, and what they accept when they read it."""
    return {
        "written": event.model_json_schema(mode="serialization", schema_generator=_Written),
        "read": event.model_json_schema(mode="validation"),
    }


def released_schemas(version: str) -> dict[str, dict[str, Schema]]:
    """The schemas of a released version's events, by subject."""
    return {path.stem: _read(path) for path in sorted((FOLDER / version / "events").glob("*.json"))}


def release(version: str, folder: Path = FOLDER) -> None:
    """Write the events and indexes of this version, in place of those that were written for it before."""
    target = folder / version
    shutil.rmtree(target, ignore_errors=True)
    (target / "events").mkdir(parents=True)
    for event in ALL_EVENTS:
        _write(target / "events" / f"{event.subject}.json", schemas(event))
    _write(target / "indexes.json", current_indexes())


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    release(contracts.VERSION)
    sys.stdout.write(f"{FOLDER / contracts.VERSION}\n")
