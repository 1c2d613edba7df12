"""Calling an answer with a time limit, and noticing when it calls the package."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from npylstm.exercises import tasks
from npylstm.exercises.tasks import Function, Value

T = TypeVar("T")

PACKAGE = str(Path(__file__).parents[1]) + os.sep


class _Stop(BaseException):
    """Raised inside an answer that has run too long; `except Exception` does not catch it."""


class PackageCall(BaseException):
    """Raised inside an answer that calls a function of the package."""


def call_with_limit(function: Callable[[], T], seconds: float) -> T:
    """Call a function in a thread of its own and stop it after some seconds.

    A thread works in scripts, in notebooks and on every operating system. A browser has no threads;
    there the function is called without a limit.

    Raises
    ------
    TimeoutError
        If it was stopped.
    """
    outcome: dict[str, Any] = {}  # the function's value, or its error

    def work() -> None:
        try:
            outcome["value"] = function()
        except BaseException as error:
            outcome["error"] = error
        finally:
            sys.setrecursionlimit(max(recursion_limit, sys.getrecursionlimit()))

    recursion_limit = sys.getrecursionlimit()
    thread = threading.Thread(target=work, daemon=True)
    profiler = threading.getprofile()
    try:
        thread.start()
    except RuntimeError:
        work()
    else:
        try:
            thread.join(seconds)
        finally:
            stopped = _stop(thread)
            threading.setprofile(profiler)  # an answer that can't be stopped has left its own
        if stopped:
            raise TimeoutError
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


def _stop(thread: threading.Thread) -> bool:
    """Make a thread end; tell whether it was still running.

    It is asked again and again, since an answer may catch whatever is raised inside it. One that
    sleeps, or catches everything, may outlast this; it can't outlast the process.
    """
    running = thread.is_alive()
    for _ in range(100):
        if not thread.is_alive():
            break
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop)
        )
        thread.join(0.02)
    return running


def watched_call(answer: Function, arguments: list[Value]) -> Value:
    """Call an answer, and refuse any call it makes to a function of the package.

    The functions that an exercise itself hands to the answer are free to be called.

    Raises
    ------
    PackageCall
        If there was such a call, even when the answer hides it.
    """
    calls: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and _is_package_call(frame):
            calls.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}")
            raise PackageCall(calls[0])

    before, before_in_threads = sys.getprofile(), threading.getprofile()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        value = answer(*arguments)
    finally:
        sys.setprofile(before)
        threading.setprofile(before_in_threads)
    if calls:
        raise PackageCall(calls[0])
    return value


def _is_package_call(frame: FrameType) -> bool:
    if frame.f_code.co_name == "__del__":  # called by the garbage collector, not by the answer
        return False
    called = frame.f_code.co_filename
    caller = frame.f_back.f_code.co_filename if frame.f_back else ""
    inside = caller.startswith(PACKAGE) and caller != __file__
    return called.startswith(PACKAGE) and called != tasks.__file__ and not inside
