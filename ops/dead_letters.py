"""Dead letters: messages that a subscriber couldn't handle.

A dead letter is identified by its sequence number in the DEAD stream. A service may publish anything on its
own subjects, `dead.<service>.>`. So a letter isn't trusted when it is published again with the rights of an
operator.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from kit.nats import PUBLISH_SECONDS
from ops.connection import jetstream
from ops.errors import CommandError
from settings import Settings
from streams.delivery import DeadLetter
from streams.processes import CONSUMERS
from streams.topology import DEAD, TIMERS, Consumer

ALL = "all"

Action = Callable[[JetStreamContext, RawStreamMsg], Awaitable[str]]
"""An action on a dead letter. It returns a message for the operator."""


async def listing(settings: Settings) -> AsyncIterator[str]:
    """One line for each dead letter."""
    found = False
    async with jetstream(settings) as js:
        async for letter in letters(js):
            found = True
            yield line(letter)
    if not found:
        yield "No dead letters."


async def each(settings: Settings, which: Sequence[str], act: Action) -> AsyncIterator[str]:
    """Apply `show`, `replay` or `drop` to dead letters, and yield the results.

    Raises:
        CommandError: there is no dead letter with one of these numbers.
    """
    async with jetstream(settings) as js:
        async for letter in chosen(js, which):
            yield await act(js, letter)


async def letters(js: JetStreamContext) -> AsyncIterator[RawStreamMsg]:
    """All dead letters, oldest first."""
    state = (await js.stream_info(DEAD)).state
    sequence = state.first_seq
    while state.messages and sequence <= state.last_seq:
        try:
            letter = await js.get_msg(DEAD, seq=sequence, subject="dead.>", next=True)
        except NotFoundError:
            return
        yield letter
        sequence = (letter.seq or sequence) + 1


async def chosen(js: JetStreamContext, which: Sequence[str]) -> AsyncIterator[RawStreamMsg]:
    """The dead letters with these numbers, or all of them for `all`.

    Raises:
        CommandError: there is no such dead letter.
    """
    if ALL in which:
        which = [str(letter.seq) async for letter in letters(js)]
    for sequence in which:
        try:
            letter = await js.get_msg(DEAD, seq=int(sequence))
        except (NotFoundError, ValueError):
            raise CommandError(f"There is no dead letter {sequence}. `just dead list` lists all.") from None
        yield letter


async def show(_: JetStreamContext, letter: RawStreamMsg) -> str:
    """A dead letter with its headers and body."""
    headers = [f"        {name}: {value}" for name, value in (letter.headers or {}).items()]
    body = (letter.data or b"").decode("utf-8", "backslashreplace")
    return "\n".join([line(letter), *headers, f"        {body}"])


async def replay(js: JetStreamContext, letter: RawStreamMsg) -> str:
    """Publish the message of a dead letter on its subject again, then delete the letter.

    Raises:
        CommandError: no consumer can have received this message.
    """
    consumer, subject = received_by(letter)
    message = await _original(js, letter, consumer, subject)
    headers = {
        name: value
        for name, value in (message.headers or {}).items()
        if name not in (*DeadLetter.ADDED, Header.MSG_ID, Header.EXPECTED_STREAM)
    }
    # With its old id, the stream could drop the message as a duplicate.
    headers[Header.MSG_ID] = f"replay-{uuid4()}"
    body = message.data or b""
    await js.publish(subject, body, stream=consumer.stream, headers=headers, timeout=PUBLISH_SECONDS)
    await js.delete_msg(DEAD, letter.seq or 0)
    return f"{letter.seq} was published again."


def received_by(letter: RawStreamMsg) -> tuple[Consumer, str]:
    """The consumer that received the message of a dead letter, and the message's subject.

    Raises:
        CommandError: the service that published the letter has no consumer of this subject.
    """
    _, owner, subject = (*(letter.subject or "").split(".", 2), "", "")[:3]
    for consumer in CONSUMERS:
        # In letters of earlier versions, the consumer's name is in the place of the service.
        if owner in (consumer.service, consumer.name) and consumer.receives(subject):
            return consumer, subject
    raise CommandError(f"{letter.seq} wasn't replayed: no consumer of {owner} receives {subject}.")


async def _original(
    js: JetStreamContext, letter: RawStreamMsg, consumer: Consumer, subject: str
) -> RawStreamMsg:
    """The message as the stream has it.

    Messages of TIMERS are deleted when they are rejected. The letter itself replaces such a message: only
    expiration may publish either.
    """
    if consumer.stream == TIMERS:
        return letter
    name, stream, sequence = (*(letter.headers or {}).get(Header.MSG_ID, "").split(":"), "", "")[:3]
    if (name, stream) != (consumer.name, consumer.stream) or not sequence.isdecimal():
        raise CommandError(f"{letter.seq} wasn't replayed: its id isn't one of {consumer.name}.")
    try:
        message = await js.get_msg(consumer.stream, seq=int(sequence))
    except NotFoundError:
        raise CommandError(
            f"{letter.seq} wasn't replayed: {consumer.stream} has no message {sequence} any more."
            " Have the event's owner publish its state again: `just republish`."
        ) from None
    if (message.subject, message.data) != (subject, letter.data):
        raise CommandError(
            f"{letter.seq} wasn't replayed: it differs from message {sequence} of {consumer.stream}."
        )
    return message


async def drop(js: JetStreamContext, letter: RawStreamMsg) -> str:
    """Delete a dead letter."""
    await js.delete_msg(DEAD, letter.seq or 0)
    return f"{letter.seq} is deleted."


def line(letter: RawStreamMsg) -> str:
    headers = letter.headers or {}
    return (
        f"{letter.seq:>6}  {headers.get(DeadLetter.CONSUMER, ''):32}"
        f"  {headers.get(DeadLetter.ATTEMPTS, ''):>2} attempts  {headers.get(DeadLetter.ERROR, '')}"
    )
