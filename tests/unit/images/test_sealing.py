"""Encryption of the files of tickets."""

import pytest

from kit.sealing import (
    CHUNK_BYTES,
    FileDamaged,
    FileKeyLost,
    Keys,
    WrappedKey,
    fingerprint,
    new_data_key,
    seal,
    unseal,
)

CONTENT = bytes(range(256)) * 2500  # three chunks


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_file_of_any_size_comes_back(size: int) -> None:
    key, content = new_data_key(), b"x" * size
    assert unseal(seal(content, key, "f"), key, "f", size) == content


def test_chunks_cannot_be_moved_cut_off_changed_or_exchanged() -> None:
    key = new_data_key()
    first, second, third = seal(CONTENT, key, "f")
    foreign = next(seal(CONTENT, key, "g"))
    shorter = next(seal(CONTENT[:CHUNK_BYTES], key, "f"))
    for chunks in (
        [second, first, third],
        [first, second],
        [first, second, bytes([third[0] ^ 1]) + third[1:]],
        [foreign, second, third],
        [shorter, second, third],
    ):
        with pytest.raises(FileDamaged):
            unseal(chunks, key, "f", len(CONTENT))


def test_another_key_opens_nothing() -> None:
    wrapped = Keys(["a" * 32]).wrap(new_data_key(), "f")
    with pytest.raises(FileKeyLost):
        Keys(["b" * 32]).unwrap(wrapped, "f")


def test_a_wrapped_key_belongs_to_one_file() -> None:
    keys = Keys(["a" * 32])
    wrapped = keys.wrap(new_data_key(), "f")
    with pytest.raises(FileKeyLost):
        keys.unwrap(wrapped, "g")
    with pytest.raises(FileKeyLost):
        keys.unwrap(WrappedKey(wrapped.key_id, wrapped.sealed[:-1] + bytes([wrapped.sealed[-1] ^ 1])), "f")


def test_the_previous_key_still_opens_what_it_wrapped() -> None:
    data_key = new_data_key()
    wrapped = Keys(["a" * 32]).wrap(data_key, "f")
    both = Keys(["b" * 32, "a" * 32])
    assert both.unwrap(wrapped, "f") == data_key
    assert both.wrap(data_key, "f").key_id != wrapped.key_id


def test_the_same_content_of_another_kind_has_another_fingerprint() -> None:
    key = new_data_key()
    assert fingerprint(key, "code", b"x") == fingerprint(key, "code", b"x")
    assert fingerprint(key, "code", b"x") != fingerprint(key, "file", b"x")
    assert fingerprint(key, "code", b"x") != fingerprint(new_data_key(), "code", b"x")
