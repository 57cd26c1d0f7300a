"""`fulfillment forget` where nothing is encrypted; tests/privacy has the rest."""

import os

import pytest
from system import System
from typer.testing import CliRunner

from ops.cli import cli
from ops.errors import CommandFailed, Misconfigured
from ops.kafka.forgetting import erased_in
from streams.messages.envelope import Outcome


def test_it_says_that_nothing_is_encrypted(system: System) -> None:
    refused = system.run("forget", "anyone", check=False)
    assert refused.returncode == os.EX_CONFIG
    assert "Personal data is not encrypted here, so there is nothing to erase" in refused.stderr


def answer(status: str = "accepted", code: str | None = None, *, erased: bool = False) -> Outcome:
    result = None if code else {"partition": 0, "erased": erased}
    return Outcome("f", "ForgetCustomer", "order", "c-1", status, "t", "c", code=code, message="why", result=result)  # type: ignore[arg-type]


@pytest.mark.parametrize("customer", ["x" * 129, "a\nb", ""])
def test_an_id_that_no_customer_can_have_is_refused_before_anything_is_sent(customer: str) -> None:
    refused = CliRunner().invoke(cli, ["forget", customer], env={"FULFILLMENT_KAFKA": "localhost:1"})
    assert refused.exit_code == os.EX_DATAERR
    assert "ids are strings of 1 to 128 characters" in refused.stderr or "customerId" in refused.stderr
    assert "Nothing was sent" in refused.stderr


def test_an_id_that_is_not_utf_8_is_refused() -> None:
    refused = CliRunner().invoke(cli, ["forget", os.fsdecode(b"c-\xff")], env={"FULFILLMENT_KAFKA": "localhost:1"})
    assert (refused.exit_code, "not UTF-8" in refused.stderr) == (os.EX_DATAERR, True)


def test_the_partitions_are_those_in_which_a_key_was_erased() -> None:
    assert erased_in([answer(), answer(erased=True)], 1) == [1]


def test_only_workers_that_do_not_know_the_command_lack_the_setting() -> None:
    with pytest.raises(Misconfigured, match="FULFILLMENT_PERSONAL_DATA_KEY"):
        erased_in([answer(), answer("rejected", "UNKNOWN_TYPE")], 1)
    with pytest.raises(CommandFailed, match="STALE_VERSION: why") as other:
        erased_in([answer(), answer("rejected", "STALE_VERSION")], 1)
    assert "FULFILLMENT_PERSONAL_DATA_KEY" not in str(other.value)
