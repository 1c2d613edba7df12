"""A separate process for each submission; it always ends, with all processes that it started.

The grader starts a guard, and the guard forks the worker. The worker may do its worst to its
parent: that is only the guard. The guard ends the worker when its time is up, when it says nothing
for too long, and when the grader has gone. Where there is no `fork` the guard does the work.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from npylstm.exercises.worker import Order, work

MEMORY_LIMIT = 4 << 30
"""Bytes that a worker may use, where the system can set a limit."""
FILE_LIMIT = 1 << 28
"""Bytes that a worker may write into one file."""
_SILENCE = 8
"""Time limits that may go by without a word of the worker; one answer may need several."""
_START_SECONDS = 60.0
_BECOME_SUBREAPER = 36  # of prctl(2), Linux

_GUARD = f"""\
import sys, types
package = sys.modules["npylstm"] = types.ModuleType("npylstm")
package.__path__ = [{str(Path(__file__).parents[1])!r}]
from npylstm.exercises.processes import guard
guard()
"""
"""What the guard starts with. The package's `__init__` would load rooms that it has no use for."""

_running: set[subprocess.Popen[bytes]] = set()


def run_worker(order: Order, report: Path) -> str:
    """Run the worker in silence; tell how it ended where it did not end well.

    Parameters
    ----------
    order : Order
    report : path
        The file that the worker writes its lines to.

    Raises
    ------
    InterruptedError
        If it was ended by `end_workers`.
    """
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        "1",
    )
    own_places = {"MPLBACKEND": "Agg", "IPYTHONDIR": str(report.parent)}
    # -P: modules that lie about in the current folder stay out of the way
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | threads | own_places,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    _running.add(process)
    try:
        process.stdin.write(json.dumps(asdict(order) | {"report": str(report)}).encode() + b"\n")
        process.stdin.flush()  # and stays open: the guard ends when it is closed
        process.wait(order.total_limit + _START_SECONDS)
    except subprocess.TimeoutExpired:
        return _after(order.total_limit)
    except BrokenPipeError:  # the guard is gone already
        process.wait()
    finally:
        _kill_group(process.pid)
        process.kill()
        process.wait()
        worker, _, said = process.stdout.read(4096).decode(errors="replace").partition("\n")
        with contextlib.suppress(ValueError):
            _kill_group(int(worker))
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
    if process not in _running:
        raise InterruptedError("the grading was stopped")
    _running.remove(process)
    return said.strip() or (_how_it_ended(process.returncode) if process.returncode else "")


def end_workers() -> None:
    """End all workers that are running, for good."""
    while _running:
        _running.pop().kill()


def _after(seconds: float) -> str:
    return f"The process was stopped after {seconds:g} seconds."


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"The process ended early, with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"The process ended early, with signal {name}."


def _kill_group(process: int) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)
    elif sys.platform == "win32":  # which has no groups, but knows what a process has started
        tree = ["taskkill", "/F", "/T", "/PID", str(process)]
        subprocess.run(tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


# ---------------------------------------------------------------- the guard


def guard() -> None:
    """Run the worker in a child, and see to it that it ends with all that it has started."""
    fields = json.loads(sys.stdin.buffer.readline())
    report = Path(fields.pop("report"))
    order = Order(**fields)
    if not hasattr(os, "fork"):
        work(order, report)
        return
    if sys.platform == "linux":  # a process that leaves the group becomes the guard's child
        ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _be_worker(order, report)
    os.write(1, f"{child}\n".encode())
    said = _watch(child, order, report)
    _end(child)
    os.write(1, said.encode())


def _be_worker(order: Order, report: Path) -> None:
    """Do the work in silence, within limits, and end without waiting for anything."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        _set_limits()
        work(order, report)
        code = 0
    finally:
        os._exit(code)


def _set_limits() -> None:
    """Limit memory and the size of files, where the system can."""
    import resource  # not on every system that can fork

    limits = {"RLIMIT_AS": MEMORY_LIMIT, "RLIMIT_FSIZE": FILE_LIMIT, "RLIMIT_CORE": 0}
    for name, limit in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (limit, limit))


def _watch(child: int, order: Order, report: Path) -> str:
    """Wait for the worker, but not for ever; tell how it ended where it did not end well."""
    silence = _SILENCE * order.time_limit
    begin = heard = time.monotonic()
    size = 0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return _how_it_ended(code) if code else ""
        now = time.monotonic()
        if report.exists() and report.stat().st_size != size:
            size, heard = report.stat().st_size, now
        if now - begin > order.total_limit:
            return _after(order.total_limit)
        if now - heard > silence:
            return _after(silence)
        if select.select([0], [], [], 0.01)[0]:
            return "The grader has gone."


def _end(child: int) -> None:
    """End the worker, its group, and on Linux everything else that it has started."""
    _kill_group(child)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (children := _children()):
        for process in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _children() -> list[int]:
    """List the processes whose parent is this one, on Linux; nothing elsewhere."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(process) for path in lists for process in path.read_text().split()]
