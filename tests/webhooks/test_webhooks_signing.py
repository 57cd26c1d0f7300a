import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webhooks.signing import BadSecret, check_secret, message_id, new_secret, signed

PUBLISHED = [  # vectors of the reference implementations of Standard Webhooks
    ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
     b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ("whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", 1731705121,
     b'{"event_type":"ping","data":{"success":true}}', "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
]  # fmt: skip


@pytest.mark.parametrize(("secret", "identifier", "seconds", "body", "signature"), PUBLISHED)
def test_signatures_are_those_of_the_standard(
    secret: str, identifier: str, seconds: int, body: bytes, signature: str
) -> None:
    assert signed(identifier, body, seconds, [secret]) == {
        "webhook-id": identifier,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature,
    }


def test_each_secret_signs_and_either_one_verifies() -> None:
    old, new, body = new_secret(), new_secret(), '{"id": "ä"}'.encode()
    headers = signed("0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01", body, time.time(), [new, old])
    assert Webhook(old).verify(body, headers) == Webhook(new).verify(body, headers) == {"id": "ä"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)


def test_ids_that_the_standard_forbids_are_replaced_by_one_that_is_stable() -> None:
    assert message_id("event-1_A") == "event-1_A"
    assert message_id("a.b") == message_id("a.b") != message_id("a.c")
    assert "." not in message_id("a.b")


def test_a_chosen_secret_has_the_prefix_and_enough_random_bytes() -> None:
    secret = new_secret()
    assert check_secret(secret) == secret
    for bad in (
        "",
        "whsec_",
        secret.removeprefix("whsec_"),
        "whsec_c2hvcnQ=",
        "whsec_" + "!" * 40,
        "whsec_" + "A" * 400,
    ):
        with pytest.raises(BadSecret):
            check_secret(bad)
