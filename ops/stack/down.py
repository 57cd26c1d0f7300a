"""Stop a running stack, and end the processes that a killed supervisor left behind."""

from contextlib import suppress

import psutil

from ops.errors import Unavailable
from ops.stack import state
from streams.runtime.settings import Settings

SUPERVISOR_SECONDS, LEFTOVER_SECONDS, KILL_SECONDS = 10.0, 5.0, 2.0


def down(settings: Settings, within: float = SUPERVISOR_SECONDS) -> int:
    """Stop the stack of `settings.data` and return the number of processes that were ended; 0 if none ran."""
    ended = 0
    for pid in state.supervisors(settings.data):
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(pid)
            children = supervisor.children()
            ended += 1 + len(children)
            _end([supervisor], within)
            _end([child for child in children if child.is_running()], LEFTOVER_SECONDS)
    return ended + end_leftovers(settings)


def end_leftovers(settings: Settings) -> int:
    """End the processes that a killed supervisor left running in `settings.data`; return how many there were."""
    stack = state.read(settings.data)
    left = [found for process in (stack.processes if stack else ()) if (found := state.running(process))]
    _end(left, LEFTOVER_SECONDS)
    with suppress(OSError):  # on a read-only disk the file stays, and names processes that no longer run
        state.state_file(settings.data).unlink(missing_ok=True)
    return len(left)


def _end(processes: list[psutil.Process], within: float) -> None:
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise Unavailable(
                f"Process {process.pid} belongs to another user ({_owner(process)}): stop it as that user."
            ) from error
    left = psutil.wait_procs(processes, timeout=within)[1]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=KILL_SECONDS)  # a zombie that its parent never collects does not count as running


def _owner(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.username())
    return "unknown"
