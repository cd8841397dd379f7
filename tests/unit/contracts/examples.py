"""The golden files: the folder golden/ contains the JSON of each example."""

from collections.abc import Mapping
from pathlib import Path

from contracts.examples import API_EXAMPLES, EVENT_EXAMPLES
from contracts.wire import Wire

GOLDEN = Path(__file__).parent / "golden"

EXAMPLES: Mapping[Path, Wire] = {
    **{GOLDEN / "events" / f"{event.subject}.json": event for event in EVENT_EXAMPLES},
    **{GOLDEN / "api" / f"{type(body).__name__}.json": body for body in API_EXAMPLES},
}
