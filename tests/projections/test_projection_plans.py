"""The index that answers a question, and the queries it takes."""

from typing import Any

import pytest
from pymongo import IndexModel

from projections.mongo.plans import SCANS, plan

BY_STATE = IndexModel([("status", 1), ("allocation", 1), ("at", 1), ("_id", 1)])
BY_CUSTOMER = IndexModel([("customer", 1), ("status", 1), ("at", 1), ("_id", 1)])
BY_TIME = IndexModel([("at", 1), ("_id", 1)])
WAITING = IndexModel([("customer", 1), ("since", 1), ("_id", 1)], partialFilterExpression={"since": {"$gt": ""}})
INDEXES = [BY_STATE, BY_CUSTOMER, BY_TIME, WAITING]
VALUES = {"status": ("new", "sent"), "allocation": ("all", None)}
ALL = {"status": {"$in": ["new", "sent"]}, "allocation": {"$in": ["all", None]}}


@pytest.mark.parametrize(
    ("where", "key", "index", "equalities"),
    [
        ({}, "at", BY_TIME, {}),
        ({"status": "new"}, "at", BY_STATE, {**ALL, "status": "new"}),
        ({"allocation": "all"}, "at", BY_STATE, {**ALL, "allocation": "all"}),
        ({"status": {"$in": ["new", "old"]}}, "at", BY_STATE, {**ALL, "status": {"$in": ["new", "old"]}}),
        ({"customer": "c"}, "at", BY_CUSTOMER, {"customer": "c", "status": ALL["status"]}),
        ({"customer": "c", "since": {"$gt": ""}}, "since", WAITING, {"customer": "c"}),
    ],
)
def test_the_index_with_the_fewest_scans_is_used(
    where: dict[str, Any], key: str, index: IndexModel, equalities: dict[str, Any]
) -> None:
    found = plan(INDEXES, VALUES, where, key)
    assert found == (list(index.document["key"].items()), (equalities,))


@pytest.mark.parametrize(
    ("where", "key"),
    [({"color": "red"}, "at"), ({"status": "new"}, "since"), ({"customer": "c"}, "since"), ({}, "_id")],
)
def test_no_index_is_used_that_would_have_other_documents_between_those_of_the_answer(
    where: dict[str, Any], key: str
) -> None:
    assert plan(INDEXES, VALUES, where, key) is None


def test_many_values_are_split_into_queries_that_together_ask_for_all() -> None:
    customers = [f"c-{number}" for number in range(400)]
    found = plan([BY_CUSTOMER], VALUES, {"customer": {"$in": customers}}, "at")
    assert found is not None
    asked = [each["customer"]["$in"] for each in found.equalities]
    assert max(2 * len(each) for each in asked) <= SCANS
    assert [one for each in asked for one in each] == customers
