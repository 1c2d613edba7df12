"""IDX, the file format of MNIST: a magic number, the shape, then the values.

    magic number    two zero bytes, the type of the values (8: unsigned byte), the number of axes
    shape           one big-endian 32-bit integer per axis
    values          row-major, the last axis fastest

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 16
MAX_AXES = 32  # what every NumPy can hold

BROKEN = (ValueError, EOFError, zlib.error, gzip.BadGzipFile)
"""Errors from reading a damaged or foreign file; `read_idx` turns them all into ValueError."""


def read_idx(path: str | os.PathLike[str], max_bytes: int = 1 << 30) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip-compressed or not.

    Parameters
    ----------
    path : path
        The file. Its content, not its name, shows whether it is compressed.
    max_bytes : int
        The largest number of values to accept. The header is compared with it before any value is
        read, and no more is ever decompressed than the header declares.

    Returns
    -------
    array of uint8, with the shape that the header declares

    Raises
    ------
    OSError
        The file can't be opened or read.
    ValueError
        The file is not an IDX file of unsigned bytes; it is truncated, damaged, or followed by
        more bytes than declared; or it declares no values, or more than `max_bytes`.
    """
    with Path(path).open("rb") as file:
        try:
            return _parse(decompressed(file), max_bytes)
        except BROKEN as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error


def _parse(stream: BufferedIOBase, max_bytes: int) -> NDArray[np.uint8]:
    magic = read_at_most(stream, 4)
    if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= MAX_AXES:
        raise ValueError(
            f"not an IDX file of unsigned bytes: magic number 0x{magic.hex()}, expected "
            f"0x00000801 (labels), 0x00000803 (images) or another up to 0x000008{MAX_AXES:02x}"
        )
    ndim = magic[3]
    header = read_at_most(stream, 4 * ndim)
    if len(header) < 4 * ndim:
        raise ValueError(f"truncated: {len(header)} bytes of shape, expected {4 * ndim}")
    shape = struct.unpack(f">{ndim}I", header)
    size = math.prod(shape)
    if not 1 <= size <= max_bytes:
        raise ValueError(f"shape {shape} makes {size} values, expected 1 to {max_bytes}")
    values = read_at_most(stream, size + 1)
    if len(values) != size:
        got = f"only {len(values)}" if len(values) < size else "more"
        raise ValueError(f"shape {shape} makes {size} values, but {got} follow")
    return np.frombuffer(values, np.uint8).reshape(shape)


def decompressed(file: BufferedIOBase) -> BufferedIOBase:
    """Return `file`, or its unpacked content if its first bytes say that it is gzip."""
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file


def read_at_most(stream: BufferedIOBase, limit: int) -> bytearray:
    """Read up to the end of `stream`, but at most `limit` bytes.

    It reads small pieces, because `stream.read(limit)` allocates `limit` bytes before it knows
    whether there are so many.
    """
    data = bytearray()
    while len(data) < limit and (piece := stream.read(min(CHUNK, limit - len(data)))):
        data += piece
    return data
