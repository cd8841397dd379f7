"""Segments that are compressed one by one form one gzip file."""

import gzip

from hypothesis import given
from hypothesis import strategies as st

from web.page_cache.segments import Segment, gzipped, joined


@given(st.lists(st.binary(max_size=2_000), max_size=6))
def test_a_gzip_file_of_segments_has_the_content_of_all(contents: list[bytes]) -> None:
    segments = [Segment(content) for content in contents]
    assert gzip.decompress(gzipped(segments)) == joined(segments) == b"".join(contents)


@given(st.binary(max_size=2_000), st.lists(st.binary(max_size=200), max_size=3))
def test_a_segment_may_be_joined_with_different_others(page: bytes, viewers: list[bytes]) -> None:
    before, after = Segment(page), Segment(page[::-1])
    for viewer in viewers:
        file = gzipped((before, Segment(viewer), after))
        assert gzip.decompress(file) == page + viewer + page[::-1]


def test_joining_does_not_compress_again() -> None:
    segment = Segment(b"a page " * 1_000)
    assert segment.deflated is segment.deflated
