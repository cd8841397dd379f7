"""Shows in HTTP responses."""

from contracts.api import Show as ShowView
from services.tickets.shows.documents import Show
from services.tickets.shows.rules import ShowFacts


def view_of(show: Show, picture: str | None = None) -> ShowView:
    """The public state of a show. `picture` is shown if operators have chosen none."""
    fields = {name: getattr(show, name) for name in ShowFacts.model_fields}
    return ShowView(id=show.key, **{**fields, "picture": show.picture or picture})
