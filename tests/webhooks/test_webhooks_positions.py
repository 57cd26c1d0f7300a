from webhooks.positions import after


def test_deliveries_begin_at_the_end_at_the_latest() -> None:
    ends = {"order-events/0": 17, "order-events/1": 0}
    assert after({"order-events/0": 17, "order-events/1": 0}, ends) == {}
    assert after({"order-events/0": 18, "order-events/1": 0}, ends) == {
        "order-events/0": "must be at most 17, where the partition ends"
    }
