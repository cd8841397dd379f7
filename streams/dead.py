"""Look at dead letters, and have them handled again or forgotten: `just dead list|show|replay|drop`.

A dead letter is named by its sequence number in the DEAD stream. `replay` puts the message back on
its subject, where every listener hears it: those that had handled it ignore it.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from streams.delivery import PUBLISH_SECONDS, DeadLetter
from streams.operator import jetstream
from streams.topology import DEAD, EVENTS, TIMERS


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


async def find(js: JetStreamContext, sequence: str) -> RawStreamMsg:
    """The dead letter of that number; ends the program if there is none."""
    try:
        return await js.get_msg(DEAD, seq=int(sequence))
    except (NotFoundError, ValueError):
        sys.exit(f"There is no dead letter {sequence}. `just dead list` shows what there is.")


async def replay(js: JetStreamContext, letter: RawStreamMsg) -> None:
    """Have a dead letter handled again, then forget it."""
    headers = {
        name: value
        for name, value in (letter.headers or {}).items()
        if name not in DeadLetter.ADDED and name != Header.MSG_ID
    }
    subject = (letter.headers or {})[DeadLetter.SUBJECT]
    stream = TIMERS if subject.startswith("timers.") else EVENTS
    # A new id: under its old one, the stream would take it for a repeat and drop it.
    headers[Header.MSG_ID] = f"replay-{uuid4()}"
    await js.publish(subject, letter.data or b"", stream=stream, headers=headers, timeout=PUBLISH_SECONDS)
    await drop(js, letter)


async def drop(js: JetStreamContext, letter: RawStreamMsg) -> None:
    """Forget a dead letter."""
    await js.delete_msg(DEAD, letter.seq or 0)


def line(letter: RawStreamMsg) -> str:
    headers = letter.headers or {}
    return (
        f"{letter.seq:>6}  {headers.get(DeadLetter.CONSUMER, ''):32}"
        f"  {headers.get(DeadLetter.ATTEMPTS, ''):>2} attempts  {headers.get(DeadLetter.ERROR, '')}"
    )


async def run(js: JetStreamContext, command: str, which: Sequence[str]) -> None:
    """Carry out one command, and say what it did."""
    if command == "list":
        lines = [line(letter) async for letter in letters(js)]
        _say("\n".join(lines) or "No dead letters.")
        return
    if "all" in which:
        which = [str(letter.seq) async for letter in letters(js)]
    for sequence in which:
        letter = await find(js, sequence)
        match command:
            case "show":
                _say(line(letter))
                _say("\n".join(f"        {name}: {value}" for name, value in (letter.headers or {}).items()))
                _say("        " + (letter.data or b"").decode("utf-8", "backslashreplace"))
            case "replay":
                await replay(js, letter)
                _say(f"{sequence} is on its way again.")
            case "drop":
                await drop(js, letter)
                _say(f"{sequence} is forgotten.")


async def main() -> None:
    parser = argparse.ArgumentParser(prog="just dead", description=__doc__)
    parser.add_argument("command", choices=["list", "show", "replay", "drop"])
    parser.add_argument("which", nargs="*", help="numbers of dead letters, or all")
    arguments = parser.parse_args()
    if arguments.command != "list" and not arguments.which:
        parser.error(f"{arguments.command} what? Give numbers of dead letters, or all")
    async with jetstream() as js:
        await run(js, arguments.command, arguments.which)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    asyncio.run(main())
