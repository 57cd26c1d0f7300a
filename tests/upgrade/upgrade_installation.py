"""An installation of another checkout's code, driven over HTTP, Kafka and the command line."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

PARTITIONS = 4


class Installation:
    """The code of `checkout`, run by `python`, with its data in `data`, on ports from `port` on."""

    def __init__(self, checkout: Path, python: Path, data: Path, port: int) -> None:
        self.checkout, self.python, self.data = checkout, python, data
        self.kafka, self.mongo = f"127.0.0.1:{port}", f"mongodb://127.0.0.1:{port + 1}"
        self.base = f"http://127.0.0.1:{port + 2}/api/v1"
        self.env = os.environ | {
            "FULFILLMENT_KAFKA": self.kafka,
            "FULFILLMENT_MONGO": self.mongo,
            "FULFILLMENT_HTTP_PORT": str(port + 2),
            "FULFILLMENT_DATA": str(data),
            "FULFILLMENT_PARTITIONS": str(PARTITIONS),
            "FULFILLMENT_CLOSED_AFTER": "0",  # recorded orders become older, and must be as they were
        }

    def run(self, *arguments: str, check: bool = True, **env: str) -> str:
        """Run `fulfillment …` and return what it printed."""
        done = subprocess.run(
            [str(self.python), "-m", "ops.cli", *arguments],
            **{"env": self.env | env, "cwd": self.checkout, "capture_output": True, "text": True, "timeout": 300},
        )
        if check and done.returncode:
            raise SystemExit(f"fulfillment {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return what `fulfillment status --json` says."""
        return dict(json.loads(self.run("status", "--json", check=False)))

    def quiet(self, *but: str) -> None:
        """Wait until no group has lag, except the groups in `but`."""
        self.wait(lambda: not any(lag for group, lag in self.lags().items() if group not in but), "no lag")

    def lags(self) -> dict[str, int]:
        """Return the lag of each group."""
        return {group: sum(topics.values()) for group, topics in self.status()["lag"].items()}

    def backlog(self, group: str, topic: str) -> int:
        """Return how many offsets of a topic a group has not committed, whether its workers answer or not."""
        reader = Consumer({"bootstrap.servers": self.kafka, "group.id": group})
        committed = reader.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], 20)
        ends = [reader.get_watermark_offsets(each, 20)[1] for each in committed]
        reader.close()
        return sum(end - max(each.offset, 0) for each, end in zip(committed, ends, strict=True))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process called `name`."""
        (pid,) = [each["pid"] for each in self.status()["processes"] if each["name"] == name]
        psutil.Process(pid).send_signal(number)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request below /api/v1 and return status and JSON; header names are written with underscores."""
        request = urllib.request.Request(
            self.base + quote(path, safe="/?=&%+"),
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def expect(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must be answered with `status`; return the answer."""
        found, answer = self.ask(method, path, body, **headers)
        if found != status:
            raise SystemExit(f"{method} {path}: {found} instead of {status}: {answer}")
        return answer

    def order(self, order_id: str, **fields: Any) -> None:
        """Wait until an order's document has these values."""

        def holds() -> bool:
            status, answer = self.ask("GET", f"/orders/{quote(order_id, safe='')}")
            return status == 200 and all(answer["data"][name] == value for name, value in fields.items())

        self.wait(holds, f"order {order_id} with {fields}")

    def produce(self, topic: str, key: str | None, value: Any, partition: int = -1, **more: Any) -> int:
        """Produce a record as a foreign client does; return its offset."""
        stored: list[Any] = []
        producer = Producer({"bootstrap.servers": self.kafka})
        raw = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        producer.produce(topic, raw, key, partition, on_delivery=lambda *each: stored.append(each), **more)
        producer.flush(120)
        if [error for error, _ in stored] != [None]:
            raise SystemExit(f"Kafka did not take a record for {topic}: {stored}")
        return int(stored[0][1].offset())

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = 180) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise SystemExit(f"waited {seconds} s for {what}")
            time.sleep(0.2)
