"""Files that are written whole or not at all, locks on folders, and the place for downloads."""

import contextlib
import errno
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from platformdirs import user_cache_path

JSON: TypeAlias = Any
"""A value as `json` reads and writes it. What a file holds is known only once it has been read, so
the code that reads it checks it."""

LOCK = "run.lock"
"""The file in a folder that `locked` locks; it exists only while somebody works on the folder."""

PATIENCE = 0.02, 0.1, 0.5
"""Seconds to wait for a program that has the old file open, before the second and later tries."""


def cache_folder() -> Path:
    """Return the folder for downloads: `$NPYLSTM_CACHE`, or else the system's usual place."""
    if own := os.environ.get("NPYLSTM_CACHE"):
        return Path(own)
    return user_cache_path("npylstm", appauthor=False)


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Reserve a folder for this process in this block: nobody else can lock it meanwhile.

    The system releases the lock when its holder ends, for any reason. Some network drives, and
    folders that cannot be written, allow no lock; there, this function locks nothing.

    Raises
    ------
    BlockingIOError
        Somebody else holds the lock.
    """
    path = Path(folder, LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        _take(descriptor, path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps a file that others have open
                path.unlink()
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    """Lock a file; raise BlockingIOError if somebody else has it, or had it until just now."""
    busy = BlockingIOError(
        errno.EAGAIN, "somebody else is working on the run", os.fspath(path.parent)
    )
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError) as error:  # what flock raises, and what Windows does
        raise busy from error
    except (OSError, ImportError):
        return
    try:
        same = os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        same = False
    if not same:  # the holder before us has removed the file that we have open
        raise busy


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # which a browser's Python lacks

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_atomically(path: str | os.PathLike[str], content: bytes | bytearray) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, whole.

    A process killed halfway can leave a file `<name>.<8 digits>.tmp` beside it.

    Raises
    ------
    OSError
        The file cannot be written; the old one is still there.
    """
    path = Path(path).resolve()  # a link stays a link
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write the file: {error.strerror}", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # gone already when all went well
    # The new name must reach the disk too; if a folder can't be synced, the file is there anyway.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name a file in errors that name none: a full disk is told while bytes are written."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:  # without a number it has its own sentence
            error.filename = os.fspath(path)
        raise


def _replace(new: Path, old: Path) -> None:
    """Replace one file with another; Windows refuses while a program has the old file open."""
    for wait in PATIENCE:
        with contextlib.suppress(PermissionError):
            new.replace(old)
            return
        time.sleep(wait)
    new.replace(old)
