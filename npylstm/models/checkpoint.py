"""Saving arrays to a file and loading them, so that neither a crash nor a bad file does harm.

A checkpoint is an uncompressed `.npz` file: `np.load` reads its arrays without this package. Beside
them it holds `meta.json`. It ends with the version of this format and the SHA-256 of every byte
before that digest, and `load` believes nothing in the file until the digest is right.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from npylstm.backend import AnyArray, Array, to_numpy
from npylstm.files import JSON, write_atomically

VERSION = 1
"""The version of the format that `save` writes and `load` reads."""

_META = "meta.json"
_DIGITS = 64  # of a SHA-256 in hexadecimal
_ENDING = re.compile(rb"npylstm checkpoint (\d+) SHA-256 ([0-9a-f]{64})\Z")


def save(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], meta: Mapping[str, JSON]
) -> None:
    """Write arrays and meta data to one file; it replaces an older file once it is whole.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    arrays : dict of array
        NumPy or CuPy arrays of any shape, of numbers, dates or strings. A name may have several
        parts, such as `"params/W_x"`.
    meta : dict
        Data that JSON can hold; it turns tuples into lists and keys into strings.

    Raises
    ------
    TypeError
        `meta` holds something else.
    ValueError
        An array holds objects or records, or an archive cannot hold its name.
    OSError
        The file cannot be written (no space, no permission, no such folder); the older one is
        still there.
    """
    try:
        text = json.dumps(meta)
    except (TypeError, ValueError) as error:
        raise TypeError(f"meta must be JSON data: {error}") from error
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        archive.writestr(ZipInfo(_META), text)
        for name, array in arrays.items():
            archive.writestr(ZipInfo(f"{name}.npy"), _encode(name, to_numpy(array)))
        archive.comment = b"npylstm checkpoint %d SHA-256 %s" % (VERSION, b"0" * _DIGITS)
    signed = buffer.getvalue()[:-_DIGITS]
    write_atomically(path, signed + hashlib.sha256(signed).hexdigest().encode())


def load(path: str | os.PathLike[str]) -> tuple[dict[str, AnyArray], dict[str, JSON]]:
    """Read what `save` wrote: the arrays, with every bit and dtype as they were, and the meta data.

    Nothing in the file is unpickled or executed, and memory stays within a few times its size.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file is not a checkpoint, is damaged or cut short, or has another version.
    """
    with Path(path).open("rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - 128, 0))
        ending = _ENDING.search(file.read(128))
        if ending is None:
            raise ValueError(f"{path} is not an npylstm checkpoint, or it was cut short")
        file.seek(0)
        content = file.read()
    version, digest = ending.groups()
    if hashlib.sha256(memoryview(content)[:-_DIGITS]).hexdigest().encode() != digest:
        raise ValueError(f"{path} is damaged: its checksum does not match its content")
    if int(version) != VERSION:
        raise ValueError(
            f"{path} is a checkpoint of version {int(version)}, and this npylstm reads {VERSION}"
        )
    try:
        return _decode(content)
    except Exception as error:  # zipfile alone raises a dozen kinds for a file made to fool it
        raise ValueError(f"{path} is not a valid checkpoint: {error}") from error


def _encode(name: str, array: AnyArray) -> bytes:
    """Return `array` as the content of an .npy file."""
    if not name.isprintable() or "\\" in name:  # zipfile would change the name
        raise ValueError(f"the name of an array must be printable, without '\\', got {name!r}")
    if array.dtype.kind not in "biufcmMSU":  # the others would need pickle
        raise ValueError(f"{name} must hold numbers, dates or strings, got dtype {array.dtype}")
    npy = BytesIO()
    np.lib.format.write_array(npy, array, version=(1, 0), allow_pickle=False)
    return npy.getvalue()


def _decode(content: bytes) -> tuple[dict[str, AnyArray], dict[str, JSON]]:
    """Take an intact checkpoint apart; trust no size that it states."""
    with ZipFile(BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != ZIP_STORED for entry in entries):
            raise ValueError("it is compressed")
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its entries are larger than the file")
        contents = {entry.filename: archive.read(entry) for entry in entries}
    meta = json.loads(contents.pop(_META))
    if not isinstance(meta, dict):
        raise ValueError("its meta data are not a JSON object")
    arrays = {name.removesuffix(".npy"): _decode_array(npy) for name, npy in contents.items()}
    return arrays, meta


def _decode_array(npy: bytes) -> AnyArray:
    stream = BytesIO(npy)
    np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    # A view of the file's bytes: objects are refused, and so is a shape that promises more.
    values = np.frombuffer(npy, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if fortran_order else "C").copy(order="K")
