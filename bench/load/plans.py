"""What load generators are asked to do, and what they report. Both cross a process boundary as JSON."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Arrivals(BaseModel):
    """Visitors who arrive at a constant rate, whether or not earlier requests have been answered."""

    kind: Literal["arrivals"] = "arrivals"
    url: str
    """The address of the server, without a path."""
    paths: list[str]
    """Requested in turn."""
    cookie: str = ""
    rate: float
    seconds: float


class Arrived(BaseModel):
    milliseconds: list[float]
    """The latency of each served request, from the moment at which it was due."""
    refused: int
    broken: int


class Browsers(BaseModel):
    """Browsers with open pages that show these tickets, and a seller who changes one after the other."""

    kind: Literal["browsers"] = "browsers"
    url: str
    nats: str
    browsers: int
    tickets: list[str]
    seller: str
    """The cookie of the tickets' seller."""
    rate: float
    """Changes per second."""
    seconds: float
    fetches: bool
    """Whether browsers fetch changed cards, or only receive signals."""


class Watched(BaseModel):
    signals: list[float]
    """Milliseconds from storing an event in the stream to its signal, for every event and browser."""
    missing_signals: int
    updates: list[float]
    """Milliseconds from sending a change to its appearance on a screen, for every change and browser."""
    missing_updates: int
    refused_changes: int
    refused_fetches: int
    fetches: int

    @property
    def is_incomplete(self) -> bool:
        return bool(self.missing_signals or self.missing_updates)


class Buyers(BaseModel):
    """Buyers who reserve and pay for these tickets, until none are left or the time is over."""

    kind: Literal["buyers"] = "buyers"
    url: str
    nats: str
    cookies: list[str]
    """A session of each buyer. A buyer buys one ticket after another."""
    tickets: list[str]
    seconds: float = 600
    pause: float = 0
    """Seconds between a captured payment and the next purchase."""


class Bought(BaseModel):
    seconds: float
    reserve: list[float]
    """Milliseconds of each successful request to reserve."""
    pay: list[float]
    complete: list[float]
    """Milliseconds from sending the reservation to the event that the order is complete."""
    refused: int
    failed: list[str]


Plan = Annotated[Arrivals | Browsers | Buyers, Field(discriminator="kind")]
