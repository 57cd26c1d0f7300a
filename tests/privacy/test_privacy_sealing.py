"""The cipher of customers' keys, and the master keys that wrap them."""

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.masters import CannotUnwrap, MasterKeys
from privacy.sealing import CannotOpen, Cipher, is_sealed, key_id_of
from streams.runtime.settings import Settings
from streams.topic_setup import requirements
from streams.topics import CUSTOMER_KEYS, DAY, ORDER_STATES, TOPICS, topics_of

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
FIRST, SECOND = (base64.b64encode(key).decode() for key in (KEY, OTHER))
FIELD = "shippingAddress"


def cipher(key: bytes = KEY, key_id: str = "k-1") -> Cipher:
    return Cipher(key_id, key)


@given(key=st.binary(min_size=32, max_size=32), order=st.text(min_size=1), text=st.binary(max_size=2_000))
def test_the_same_value_is_sealed_to_the_same_text_and_opened_again(key: bytes, order: str, text: bytes) -> None:
    order = order.encode(errors="replace").decode()
    sealed = cipher(key).seal(order, FIELD, text)
    assert cipher(key).seal(order, FIELD, text) == sealed
    assert cipher(key).open(order, FIELD, sealed) == text
    assert is_sealed(sealed)
    assert key_id_of(sealed) == "k-1"


@given(one=st.binary(max_size=50), other=st.binary(max_size=50))
def test_different_values_have_different_nonces(one: bytes, other: bytes) -> None:
    nonces = {base64.urlsafe_b64decode(cipher().seal("o", FIELD, text).split(":")[2])[:12] for text in (one, other)}
    assert len(nonces) == (1 if one == other else 2)


def test_equal_addresses_of_an_order_do_not_look_equal() -> None:
    sealed = {cipher().seal(order, field, b"x") for order in ("o-1", "o-2") for field in (FIELD, "billingAddress")}
    assert len(sealed) == 4


def test_a_sealed_value_says_nothing_about_its_contents() -> None:
    sealed = cipher().seal("o", FIELD, b"1 High Street")
    assert b"High" not in base64.urlsafe_b64decode(sealed.split(":")[2])


@pytest.mark.parametrize("at", range(0, 41, 8))
def test_a_changed_value_is_refused(at: int) -> None:
    sealed = cipher().seal("o", FIELD, b"1 High Street")
    raw = bytearray(base64.urlsafe_b64decode(sealed.split(":")[2]))
    raw[at] ^= 1
    changed = f"sealed:k-1:{base64.urlsafe_b64encode(raw).decode()}"
    with pytest.raises(CannotOpen):
        cipher().open("o", FIELD, changed)


@pytest.mark.parametrize("text", ["sealed:k-1:", "sealed:k-1:!!!!", "sealed:k-1:AAAA", "sealed:k-1:AAA"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CannotOpen):
        cipher().open("o", FIELD, text)


@pytest.mark.parametrize(
    ("order", "field", "key"),
    [("o-2", FIELD, KEY), ("o-1", "billingAddress", KEY), ("o-1", FIELD, OTHER)],
    ids=["another order", "another field", "another key"],
)
def test_a_value_opens_only_in_its_place_with_its_key(order: str, field: str, key: bytes) -> None:
    sealed = cipher().seal("o-1", FIELD, b"1 High Street")
    with pytest.raises(CannotOpen):
        cipher(key).open(order, field, sealed)


# --- master keys


def masters(*keys: str) -> MasterKeys:
    return MasterKeys(Settings(personal_data_key=",".join(keys)))  # type: ignore[arg-type]


def test_a_wrapped_key_is_unwrapped_and_differs_each_time() -> None:
    wrapped = {masters(FIRST).wrap(OTHER) for _ in range(2)}
    assert len(wrapped) == 2
    assert {masters(FIRST).unwrap(each) for each in wrapped} == {OTHER}


def test_master_keys_can_be_rotated() -> None:
    old = masters(FIRST).wrap(OTHER)
    both = masters(SECOND, FIRST)
    assert both.unwrap(old) == OTHER
    assert masters(SECOND).unwrap(both.wrap(KEY)) == KEY, "the first one wraps"
    with pytest.raises(CannotUnwrap, match="not in FULFILLMENT_PERSONAL_DATA_KEY"):
        masters(SECOND).unwrap(old)


def test_a_wrapped_key_that_was_changed_is_refused() -> None:
    wrapped = bytearray(masters(FIRST).wrap(OTHER))
    wrapped[-1] ^= 1
    with pytest.raises(CannotUnwrap, match="was changed"):
        masters(FIRST).unwrap(bytes(wrapped))


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.masters.LOOK_SECONDS", 0.0)
    file = tmp_path / "master"
    file.write_text(f"{FIRST}\n")
    keys = MasterKeys(Settings(personal_data_key_file=file))
    old = keys.wrap(OTHER)
    replacement = tmp_path / "new"
    replacement.write_text(f"{SECOND}, {FIRST}\n")
    replacement.rename(file)
    assert keys.unwrap(old) == OTHER
    assert masters(SECOND).unwrap(keys.wrap(KEY)) == KEY
    file.unlink()
    assert keys.unwrap(old) == OTHER, "the keys stay as they were"
    file.write_text("not a key")
    assert keys.unwrap(old) == OTHER, "the keys stay as they were"


def test_it_is_off_without_a_key() -> None:
    assert not Settings().encrypts_personal_data
    assert topics_of(Settings()) == TOPICS


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"16 bytes are few").decode(), f"{FIRST},{FIRST}"])
def test_invalid_master_keys_are_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValidationError, match="FULFILLMENT_PERSONAL_DATA_KEY") as refused:
        Settings(personal_data_key=text)  # type: ignore[arg-type]
    assert not text or text not in str(refused.value)


def test_a_key_and_a_file_contradict_each_other(tmp_path: Path) -> None:
    (file := tmp_path / "master").write_text(FIRST)
    with pytest.raises(ValidationError, match="not both"):
        Settings(personal_data_key=FIRST, personal_data_key_file=file)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="cannot be read"):
        Settings(personal_data_key_file=tmp_path / "missing")


def test_no_key_is_in_what_is_printed() -> None:
    secret = base64.b64encode(os.urandom(32)).decode()
    assert secret not in repr(Settings(personal_data_key=secret))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [CUSTOMER_KEYS.name, ORDER_STATES.name])
def test_topics_with_keys_are_compacted_within_a_day(name: str) -> None:
    (topic,) = [each for each in topics_of(Settings(personal_data_key=FIRST)) if each.name == name]  # type: ignore[arg-type]
    (lag,) = [each for each in requirements(topic, 1) if each.setting == "max.compaction.lag.ms"]
    assert lag.holds(str(DAY))
    assert lag.holds(str(DAY // 2))
    assert not lag.holds(str(2**63 - 1)), "the broker's default: when it likes"
