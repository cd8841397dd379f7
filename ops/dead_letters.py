"""Dead letters: messages that a subscriber couldn't handle.

A dead letter is identified by its sequence number in the DEAD stream.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from kit.nats import EVENTS, PUBLISH_SECONDS
from ops.connection import jetstream
from ops.errors import CommandError
from settings import Settings
from streams.delivery import DeadLetter
from streams.topology import DEAD, TIMERS

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
    """Publish a dead letter on its subject again, then delete it."""
    headers = {
        name: value
        for name, value in (letter.headers or {}).items()
        if name not in DeadLetter.ADDED and name != Header.MSG_ID
    }
    subject = (letter.headers or {})[DeadLetter.SUBJECT]
    stream = TIMERS if subject.startswith("timers.") else EVENTS
    # With its old id, the stream could drop the message as a duplicate.
    headers[Header.MSG_ID] = f"replay-{uuid4()}"
    await js.publish(subject, letter.data or b"", stream=stream, headers=headers, timeout=PUBLISH_SECONDS)
    await js.delete_msg(DEAD, letter.seq or 0)
    return f"{letter.seq} was published again."


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
