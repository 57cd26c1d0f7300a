"""Reading headers and parameters."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from web.errors import Problem
from web.preconditions import expected_version
from web.queries.consistency import parse, token
from web.queries.handling import limit
from web.requests import Preference, identifier


def headers(*sent: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(sent))


@pytest.mark.parametrize(
    ("sent", "version"),
    [('"3"', 3), ("3", 3), ("*", "*"), (' "3" ', 3), ('"3", "4"', "3, 4"), ('"4","3"', "3, 4"), ("3, 4", "3, 4"),
     ('"3",, "3",', 3), ('W/"3", "4"', 4), ('"0"', 0)],
)  # fmt: skip
def test_if_match_names_versions(sent: str, version: int | str) -> None:
    assert expected_version(headers(("If-Match", sent))) == version


def test_no_condition_asks_for_no_version() -> None:
    assert expected_version(headers()) is None


def test_the_lines_of_a_header_are_one_list() -> None:
    assert expected_version(headers(("If-Match", '"3"'), ("If-Match", '"4"'))) == "3, 4"


@pytest.mark.parametrize("sent", ['"x"', "-1", '"1', "٣", "x", "", '"1" "2"', '*, "1"', 'w/"1"', '"1", "abc"'])
def test_if_match_that_names_no_version_is_refused(sent: str) -> None:
    with pytest.raises(Problem) as error:
        expected_version(headers(("If-Match", sent)))
    assert (error.value.status, list(error.value.errors or ())) == (400, ["If-Match"])


@pytest.mark.parametrize("sent", ['W/"3"', 'W/"3", W/"4"', f'"{"9" * 18}"', "9" * 40])
def test_a_weak_tag_and_a_version_that_cannot_be_never_match(sent: str) -> None:
    with pytest.raises(Problem) as error:
        expected_version(headers(("If-Match", sent)))
    assert (error.value.status, error.value.code) == (412, "STALE_VERSION")


def test_if_none_match_on_a_command_requires_a_new_aggregate() -> None:
    assert expected_version(headers(("If-None-Match", "*"))) == 0
    for sent in ([("If-None-Match", '"3"')], [("If-None-Match", "*"), ("If-Match", '"3"')]):
        with pytest.raises(Problem) as error:
            expected_version(headers(*sent))
        assert (error.value.status, list(error.value.errors or ())) == (400, ["If-None-Match"])


@pytest.mark.parametrize(
    ("sent", "asynchronous", "seconds"),
    [(None, False, 5), ("respond-async", True, 0), ("respond-async, wait=2", True, 2), ("wait=9", False, 5),
     ("wait=0", False, 0), ("return=minimal", False, 5)],
)  # fmt: skip
def test_prefer_bounds_the_wait(sent: str | None, asynchronous: bool, seconds: float) -> None:
    assert Preference.of({} if sent is None else {"Prefer": sent}, 5.0) == Preference(asynchronous, seconds)


@pytest.mark.parametrize("aggregate_id", ["o-1", "a:b", "a/b c", "ü" * 128])
def test_a_token_is_parsed_to_its_parts(aggregate_id: str) -> None:
    assert parse(token("order", aggregate_id, 7)) == ("order", aggregate_id, 7)


@pytest.mark.parametrize("sent", ["", "x", "!!!", "b3JkZXI6eA", token("nothing", "a", 1), "ÿ"])
def test_an_invalid_token_is_refused(sent: str) -> None:
    with pytest.raises(Problem) as error:
        parse(sent)
    assert error.value.status == 400


@pytest.mark.parametrize("sent", ["0", "501", "x", "-1", "1.5", "", "٣", "9" * 5000])
def test_a_page_has_1_to_500_documents(sent: str) -> None:
    with pytest.raises(Problem):
        limit(sent)
    assert (limit(None), limit("1"), limit("500")) == (50, 1, 500)


@pytest.mark.parametrize("value", ["", "x" * 129, "a\x00b", "a\nb", "\ud800"])
def test_an_invalid_id_is_refused_by_field(value: str) -> None:
    with pytest.raises(Problem) as error:
        identifier(value, "orderId")
    assert list(error.value.errors or {}) == ["orderId"]
