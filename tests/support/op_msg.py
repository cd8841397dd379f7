"""Messages of MongoDB's wire protocol, as far as a client without compression sends them."""

import asyncio
import struct
from itertools import count
from typing import Any, NamedTuple

import bson

Document = dict[str, Any]

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013

MORE_TO_COME = 2
"""The flag of a message whose sender expects no answer."""

_HEADER = struct.Struct("<iiii")
_numbers = count(1)


class Message(NamedTuple):
    """A command or its answer."""

    body: Document
    number: int
    """The number of the request, to which its answer refers."""
    is_legacy: bool = False
    """Whether this is the first message of a connection, which clients send as an OP_QUERY."""
    needs_answer: bool = True


async def receive(reader: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        asyncio.IncompleteReadError: the connection has ended.
    """
    size, number, _, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    data = await reader.readexactly(size - _HEADER.size)
    if kind == OP_QUERY:
        command = data.index(b"\0", 4) + 1 + 8  # after the flags, the collection and two numbers
        return Message({**bson.decode(data[command:]), "$db": "admin"}, number, is_legacy=True)
    assert kind == OP_MSG, f"a message of kind {kind}"
    flags = int.from_bytes(data[:4], "little")
    return Message(_joined(data[4:]), number, needs_answer=not flags & MORE_TO_COME)


def request(body: Document) -> bytes:
    """The bytes of a command."""
    return _message(OP_MSG, b"\0\0\0\0\0" + bson.encode(body), 0)


def answer(body: Document, to: Message) -> bytes:
    """The bytes of an answer to a command."""
    if to.is_legacy:  # flags, cursor, position, number of documents
        return _message(OP_REPLY, struct.pack("<iqii", 0, 0, 0, 1) + bson.encode(body), to.number)
    return _message(OP_MSG, b"\0\0\0\0\0" + bson.encode(body), to.number)


def _joined(sections: bytes) -> Document:
    """The command, with the documents that were sent in sections of their own."""
    body: Document = {}
    lists: Document = {}
    while sections:
        size = int.from_bytes(sections[1:5], "little")
        section, rest = sections[1 : 1 + size], sections[1 + size :]
        if sections[0] == 0:
            body = bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\0")
            lists[name.decode()] = bson.decode_all(documents)
        sections = rest
    return {**body, **lists}


def _message(kind: int, data: bytes, answers: int) -> bytes:
    return _HEADER.pack(_HEADER.size + len(data), next(_numbers), answers, kind) + data
