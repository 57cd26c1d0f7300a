"""The driver for MongoDB is PyMongo, unless Motor is asked for and installed."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from projections.mongo.client import Mongo
from streams.runtime import settings
from streams.runtime.settings import Settings

LOADED = """
import sys
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings
print(type(Mongo(Settings()).client).__module__, "motor" in sys.modules)
"""


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        ({}, "pymongo.asynchronous.mongo_client False"),
        ({"FULFILLMENT_MONGO_DRIVER": "motor"}, "motor.motor_asyncio True"),
    ],
)
def test_motor_is_loaded_only_if_it_is_asked_for(processes: None, driver: dict[str, str], says: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], env=os.environ | driver, capture_output=True, text=True, check=False
    )
    assert loaded.stdout.strip() == says, loaded.stderr


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MOTOR", "motor-that-is-not-installed")
    Settings(mongo_driver="pymongo")
    with pytest.raises(ValidationError, match=r"pip install 'order-fulfillment\[motor\]', or use pymongo"):
        Settings.model_validate({"mongo_driver": "motor"})


def test_other_drivers_are_refused() -> None:
    with pytest.raises(ValidationError, match="mongo_driver"):
        Settings.model_validate({"mongo_driver": "mongoengine"})


@pytest.mark.parametrize(
    ("uri", "seconds"),
    [
        ("mongodb://127.0.0.1:1", 2.0),
        ("mongodb://127.0.0.1:1,127.0.0.1:2/?replicaSet=rs", 12.0),
        ("mongodb://127.0.0.1:1,127.0.0.1:2/?replicaSet=rs&serverselectiontimeoutms=60000", 60.0),
    ],
)
async def test_a_replica_set_is_waited_for_unless_the_uri_has_a_limit(uri: str, seconds: float) -> None:
    mongo = Mongo(Settings(mongo=uri))
    assert mongo.client.options.server_selection_timeout == seconds
    await mongo.close()
