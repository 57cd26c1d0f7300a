"""A contender's own topics on the shared broker, and its processes while it works off a backlog."""

import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import psutil
from confluent_kafka.admin import AdminClient
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from bench import bare
from bench.backlog import Handled, Message, Rate, Sender, stored, work_off
from bench.checkout import Checkout
from bench.stacks import Install, cpu_seconds, partitions_at
from streams.kafka.clients import librdkafka_config
from streams.runtime.settings import Role
from streams.topics import COMMAND_OUTCOMES, INVENTORY_COMMANDS, ORDER_COMMANDS
from tests.system import free_ports, wait_until


class Contender(NamedTuple):
    """The program that decides: how a checkout starts it, how many processes, and its consumer group."""

    name: str
    command: Callable[[Checkout], list[str]]
    group: str
    workers: int = 1
    topic: str = ORDER_COMMANDS.name


def agent(role: Role, workers: int = 1) -> Contender:
    """Return our own workers of a role."""
    topic = INVENTORY_COMMANDS if role == "inventory" else ORDER_COMMANDS
    return Contender(f"{role} agent", lambda here: here.fulfillment("worker", role), role, workers, topic.name)


def bare_loop(client: str) -> Contender:
    """Return the bare loop on a client."""
    return Contender(f"bare loop, {client}", lambda here: here.module("bench.bare", client), bare.GROUP)


class Arena:
    """Lets one contender work off backlogs, one after the other."""

    def __init__(self, servers: Install, contender: Contender) -> None:
        self.contender, name = contender, uuid.uuid4().hex[:6]
        self._install = Install(servers.settings.data, name, servers, checkout=servers.checkout)
        self._sent, self.ports = 0, list[int]()
        self.peak_bytes = 0  # the highest resident memory of all workers together while they worked off a backlog

    def __enter__(self) -> "Arena":
        self._install.run("topics", "create")
        self._install.learn_partitions()
        self.settings = self._install.settings
        return self

    def __exit__(self, *_: object) -> None:
        client = AdminClient(librdkafka_config(self.settings))
        ours = [topic for topic in client.list_topics(timeout=30).topics if topic.startswith(self.settings.prefix)]
        for future in client.delete_topics(ours).values():
            future.result(30)

    def work_off(self, messages: Sequence[Message]) -> Rate:
        """Send a backlog, start the contender on it, return how fast it was, and stop the contender.

        Several workers share the partitions before any of them sees the backlog, because forming a group takes longer
        than the work.
        """
        before, several = self._sent, self.contender.workers > 1
        self._sent += len(messages)
        if not several:
            Sender(self.settings).send(self.contender.topic, messages)
        with Handled(self.settings, self.contender.group, self.contender.topic) as handled, self.running() as workers:

            def used() -> float:
                for worker in workers:
                    assert worker.status() != psutil.STATUS_ZOMBIE, f"{self.contender.name} ended: {self.log()}"
                self.peak_bytes = max(self.peak_bytes, sum(worker.memory_info().rss for worker in workers))
                return sum(map(cpu_seconds, workers))

            if several:
                wait_until(lambda: all(map(partitions_at, self.ports)), "every worker to have a share")
                Sender(self.settings, f"bench-{uuid.uuid4()}").send(self.contender.topic, messages)
            return work_off(handled, before, len(messages), used)

    @retry(
        retry=retry_if_exception_type(AssertionError),  # offsets may be committed before outcomes can be read
        wait=wait_fixed(0.2), stop=stop_after_delay(20), reraise=True,
    )  # fmt: skip
    def check(self) -> None:
        """Check that every command sent so far was accepted, exactly once."""
        accepted = sum(b'"status":"accepted"' in value for value in stored(self.settings, COMMAND_OUTCOMES.name))
        assert accepted == self._sent, f"{self.contender.name} accepted {accepted:,} of {self._sent:,} commands"

    def log(self) -> str:
        """Return the end of the contender's output."""
        self._output.seek(0)
        return self._output.read()[-2000:]

    @contextmanager
    def running(self) -> Iterator[list[psutil.Process]]:
        """Run the contender."""
        self.ports = [free_ports(1) for _ in range(self.contender.workers)]
        with tempfile.TemporaryFile("w+") as self._output, ExitStack() as stack:
            yield [stack.enter_context(self._process(*each)) for each in enumerate(self.ports)]

    @contextmanager
    def _process(self, instance: int, port: int) -> Iterator[psutil.Process]:
        own = {"FULFILLMENT_WORKER_PORT": str(port), "FULFILLMENT_INSTANCE": str(instance)}
        checkout, env = self._install.checkout, self._install.env | own
        child = subprocess.Popen(
            self.contender.command(checkout), cwd=checkout.folder, env=env, stdout=self._output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
