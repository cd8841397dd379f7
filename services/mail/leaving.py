"""What mail stores about people, for those who leave or export their data."""

from contracts.events import UserEvent
from contracts.export import ExportedMessage, ExportedOptOut
from contracts.internal import Part
from services.mail.documents import Message, OptOut

MAX_PAGE = 200


async def follow_user(user: UserEvent) -> None:
    """Forget a deleted user. A late event about the person queues a message again, which has no address."""
    if user.deleted:
        await Message.forget(user.id)
        await OptOut.forget(user.id)


async def page_of_messages(user_id: str, after: str | None) -> Part[ExportedMessage]:
    """A part of the emails to a person."""
    found = await Message.page_of(user_id, after, MAX_PAGE)
    return Part[ExportedMessage](
        entries=[
            ExportedMessage(
                kind=message.kind,
                cause=message.cause,
                facts=message.facts,
                status=message.status,
                created_at=message.created_at,
                sent_at=message.sent_at,
            )
            for message in found
        ],
        after=found[-1].id if len(found) == MAX_PAGE else None,
    )


async def opt_outs(user_id: str) -> Part[ExportedOptOut]:
    """All wishes of a person. There are at most as many as optional kinds of messages."""
    wishes = await OptOut.of_user(user_id)
    entries = [ExportedOptOut(kind=kind, created_at=moment) for kind, moment in wishes.items()]
    return Part[ExportedOptOut](entries=entries, after=None)
