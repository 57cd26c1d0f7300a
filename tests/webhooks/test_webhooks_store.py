import pytest

from streams.kafka.brokers import Refused
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.wire import Code
from streams.runtime.settings import Settings
from webhooks.store import TRIES, Decide, Known, SubscriptionGone, Subscriptions, TooManyChanges
from webhooks.subscription import Secret, Start, Subscription, decode, places_in
from webhooks.vault import MARK, NoMasterKey, Vault

MASTER = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
ONE = Subscription(
    id="w-1",
    revision=1,
    url="https://shop.example/hooks",
    secrets=(Secret("whsec_a"),),
    created_at="2026-11-23T10:00:00.000Z",
    start=Start("s-1", {"order-events/0": 3}),
)


def test_a_subscription_is_read_as_it_was_written() -> None:
    assert decode(ONE.encode()) == ONE


def test_a_client_never_sees_a_secret() -> None:
    assert "whsec_a" not in str(ONE.shown())


def test_of_two_changes_of_one_revision_the_first_counts() -> None:
    known = Known()
    known.apply("w-1", ONE.encode())
    known.apply("w-1", ONE.paused().encode())
    known.apply("w-1", ONE.parked("gone").encode())
    assert known.by_id["w-1"] == ONE.paused()
    known.apply("w-1", ONE.paused().resumed().encode())
    assert known.by_id["w-1"].status == "active"


def test_a_deleted_subscription_stays_deleted() -> None:
    known = Known()
    known.apply("w-1", ONE.encode())
    known.apply("w-1", None)
    known.apply("w-1", ONE.paused().encode())
    assert known.by_id == {}


class OnList(Subscriptions):
    """Subscriptions on a list; `meanwhile` is what other processes write before each transaction that begins."""

    def __init__(self, *meanwhile: tuple[str, bytes | None] | Code) -> None:
        super().__init__(Settings())
        self.ready, self.records, self.meanwhile = True, list[tuple[str, bytes | None]](), list(meanwhile)

    async def _transact(self, identifier: str, decide: Decide) -> Subscription | None:
        other = self.meanwhile.pop(0) if self.records and self.meanwhile else None
        if isinstance(other, Code):
            raise Refused(other)
        if other is not None:
            self._append(*other)
        wanted = decide()
        self._append(identifier, None if wanted is None else wanted.encode())
        return wanted

    def _append(self, identifier: str, value: bytes | None) -> None:
        self.records.append((identifier, value))
        self._known.apply(identifier, value)


async def test_a_change_does_not_undo_a_deletion() -> None:
    store = OnList(("w-1", None))
    await store.create(ONE)
    with pytest.raises(SubscriptionGone):
        await store.change("w-1", Subscription.paused)
    assert store.records == [("w-1", ONE.encode()), ("w-1", None)]


async def test_a_change_includes_one_that_was_written_meanwhile() -> None:
    store = OnList(("w-1", ONE.parked("gone").encode()))
    await store.create(ONE)
    rotated = await store.change("w-1", lambda one: one.rotated(Secret("whsec_b"), 100, 200))
    assert (rotated.revision, rotated.status) == (3, "parked")
    assert dict(store.records)["w-1"] == rotated.encode()


async def test_a_change_that_lost_its_turn_is_repeated() -> None:
    store = OnList(Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_EPOCH)
    await store.create(ONE)
    assert await store.change("w-1", Subscription.paused) == ONE.paused()
    assert len(store.records) == 2


async def test_changes_end_if_others_always_write_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.store.PAUSE_SECONDS", 0.0)
    store = OnList(*[Code.PRODUCER_FENCED] * TRIES)
    await store.create(ONE)
    with pytest.raises(TooManyChanges):
        await store.change("w-1", Subscription.paused)


async def test_a_right_that_is_missing_is_named() -> None:
    store = OnList(Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    await store.create(ONE)
    with pytest.raises(GatewayUnavailable, match="allow this service to write with its transactional id"):
        await store.change("w-1", Subscription.paused)


def test_after_compaction_the_last_record_counts() -> None:
    known = Known()
    known.apply("w-1", ONE.paused().resumed().encode())
    assert known.by_id["w-1"].revision == 3


def test_former_secrets_sign_until_the_overlap_ends() -> None:
    rotated = ONE.rotated(Secret("whsec_b"), now=100, until=200)
    assert rotated.valid_secrets(150) == ["whsec_b", "whsec_a"]
    assert rotated.valid_secrets(201) == ["whsec_b"]
    again = rotated.rotated(Secret("whsec_c"), now=150, until=400)
    assert again.valid_secrets(160) == ["whsec_c", "whsec_b", "whsec_a"]
    assert again.valid_secrets(300) == ["whsec_c", "whsec_b"]
    assert [each.text for each in again.rotated(Secret("whsec_d"), now=500, until=500).secrets] == ["whsec_d"]


def test_an_ended_overlap_is_not_stored_again() -> None:
    rotated = ONE.rotated(Secret("whsec_b"), now=100, until=100)
    assert [each.text for each in rotated.secrets] == ["whsec_b"]


def test_events_are_filtered_by_type_and_location() -> None:
    assert ONE.wants_type("OrderPlaced")
    assert not Subscription(**{**_fields(), "types": ("OrderPlaced",)}).wants_type("OrderHeld")
    north = Subscription(**{**_fields(), "locations": ("north",)})
    assert north.wants_place({"lines": [{"lineId": "1", "location": "north"}]})
    assert not north.wants_place({"location": "south", "note": "north"})
    assert list(places_in({"source": "a", "target": "b", "at": [{"location": "c"}]})) == ["a", "b", "c"]
    totals = {"balance": {}, "locations": [{"location": "north"}, {"location": "south"}]}
    assert not north.wants_place({**totals, "location": "south"})
    assert Subscription(**{**_fields(), "locations": ("default",)}).wants_place({"balance": {}})
    assert not Subscription(**{**_fields(), "locations": ("default",)}).wants_place({"lines": []})


def test_only_orders_have_customers() -> None:
    assert ONE.aggregates == ("order", "inventory")
    assert Subscription(**{**_fields(), "customer_ids": ("ada",)}).aggregates == ("order",)


def _fields() -> dict[str, object]:
    return {name: getattr(ONE, name) for name in Subscription.__struct_fields__}


def test_secrets_are_encrypted_at_rest_if_master_keys_are_set() -> None:
    plain, vault = Vault(Settings()), Vault(Settings(personal_data_key=MASTER))  # type: ignore[arg-type]
    assert plain.protect("whsec_a") == "whsec_a"
    kept = vault.protect("whsec_a")
    assert kept.startswith(MARK)
    assert "whsec_a" not in kept
    assert vault.reveal(kept) == vault.reveal("whsec_a") == "whsec_a"
    with pytest.raises(NoMasterKey):
        plain.reveal(kept)
