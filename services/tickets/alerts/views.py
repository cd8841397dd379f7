"""Requests and matches in HTTP responses."""

from contracts.api import Alert as AlertView
from contracts.api import AlertMatch
from contracts.export import ExportedAlert, ExportedMatch
from contracts.money import from_minor_units
from services.tickets.alerts.documents import Alert, Match
from services.tickets.shows.documents import Show
from services.tickets.shows.views import view_of as view_of_show


def view_of(alert: Alert, show: Show | None) -> AlertView:
    return AlertView(
        id=str(alert.id),
        kind=alert.kind,
        show=None if show is None else view_of_show(show),
        performer=alert.performer,
        price_to=None if alert.price_to_minor is None else from_minor_units(alert.price_to_minor),
        quantity=alert.quantity,
        created_at=alert.created_at,
    )


def exported(alert: Alert) -> ExportedAlert:
    return ExportedAlert(
        id=str(alert.id),
        kind=alert.kind,
        show_id=alert.show_id,
        performer=alert.performer,
        price_to=None if alert.price_to_minor is None else from_minor_units(alert.price_to_minor),
        quantity=alert.quantity,
        created_at=alert.created_at,
    )


def exported_match(match: Match) -> ExportedMatch:
    return ExportedMatch(**dict(view_of_match(match)), seen_at=match.seen_at)


def view_of_match(match: Match) -> AlertMatch:
    return AlertMatch(
        id=match.key,
        ticket_id=str(match.ticket_id),
        title=match.title,
        price=from_minor_units(match.price_minor),
        quantity=match.quantity,
        seat=match.seat,
        starts_at=match.starts_at,
        time_zone=match.time_zone,
        matched_at=match.matched_at,
    )
