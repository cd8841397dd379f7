"""What is told of a ticket."""

from contracts.api import Ticket as TicketView
from services.tickets.documents import Ticket


def view_of(ticket: Ticket) -> TicketView:
    """The same as its event says."""
    return TicketView.model_validate(dict(ticket.event()))
