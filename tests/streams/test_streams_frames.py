"""Requests are followed by their bytes, however these are cut."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.frames import Frames

TO = b"POST / HTTP/1.1\r\nHost: a\r\n"
WHOLE = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    TO + b"content-length: 2 \r\n\r\n{}",
    TO + b"Content-Length: 0\r\n\r\n",
    TO + b"Content-Length: 25\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n",
    TO + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    TO + b"transfer-encoding: Chunked\r\n\r\nA;x=y\r\n\r\n\r\n\r\n\r\n\r\n\r\n000\r\nX: y\r\n\r\n",
    b"\r\n" + TO + b"\r\n\r\n",  # an empty line more than needed
]
HEADERS = [b"G", b"GET / HTTP/1.1\r\n", TO, TO + b"Content-Length: 2\r\n"]  # without their end


def begun(parts: Sequence[bytes]) -> bool:
    frames = Frames()
    for part in parts:
        frames.add(part)
    return frames.has_begun


@given(st.lists(st.sampled_from(WHOLE), min_size=1), st.integers(0, 10_000))
def test_the_part_in_which_headers_end_is_known(requests: list[bytes], place: int) -> None:
    *before, last = requests
    ends = last.index(b"\n\n" if b"\n\n" in last else b"\r\n\r\n") + 1
    frames = Frames()
    assert frames.add(b"".join(before)) is bool(before)
    assert frames.add(last[: place % ends]) is False
    assert frames.add(last[place % ends :]) is True


def cut(whole: bytes, places: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[first:last] for first, last in itertools.pairwise(at)]


@given(st.lists(st.sampled_from(WHOLE)), st.sampled_from([b"", *HEADERS]), st.lists(st.integers(0, 10_000), max_size=9))
def test_headers_have_begun_if_their_end_is_missing(requests: list[bytes], rest: bytes, places: list[int]) -> None:
    assert begun(cut(b"".join(requests) + rest, places)) is bool(rest)


@pytest.mark.parametrize("whole", [each for each in WHOLE if each.startswith(TO)])
def test_a_body_that_still_arrives_is_not_taken_for_headers(whole: bytes) -> None:
    headers = whole.index(b"\r\n\r\n") + 4
    assert not any(begun([whole[:end]]) for end in range(headers, len(whole) + 1))


@pytest.mark.parametrize("length", [b"9" * 5_000, b"-1", b"x"])
def test_a_length_that_the_parser_refuses_is_ignored(length: bytes) -> None:
    assert not begun([TO + b"Content-Length: " + length + b"\r\n\r\n"])
