"""Files that are written whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path


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
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write the file: {error.strerror}", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # gone already when all went well
    # The new name must reach the disk too; where a folder can't be synced, the file stands anyway.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
