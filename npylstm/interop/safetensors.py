"""safetensors: the format in which weights are shared, with PyTorch's names.

The package `safetensors` is an optional extra: `pip install npylstm[safetensors]`.
"""

import importlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from npylstm.backend import Untyped, to_numpy
from npylstm.cells import Params
from npylstm.checks import Option
from npylstm.files import write_atomically
from npylstm.interop.core import Arrays, Convertible
from npylstm.interop.torch import from_torch, layer_from_torch, own_part, to_torch
from npylstm.models import check_can_be_saved, from_config, to_config
from npylstm.sequence import Layer

DESCRIPTION = "npylstm"
"""The entry of the file's metadata that describes the layer."""

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The types of floating-point numbers in a file, and NumPy's; bfloat16 is read as its bits."""


def save_safetensors(
    path: str | os.PathLike[str],
    layer: Convertible,
    params: Params,
    prefix: str = "",
    head: str = "head",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a layer's parameters to a safetensors file by PyTorch's names.

    The metadata also describe the layer, so that `load_safetensors` needs only the file.

    Parameters
    ----------
    path : str or path
    layer, params, prefix, head
        As in `to_torch`.
    metadata : dict of str, optional
        Texts to store beside the arrays.

    Raises
    ------
    ModuleNotFoundError
        The package safetensors is not installed.
    ValueError
        PyTorch lacks the layer or an option, or the layer could not be loaded again.
    OSError
        The file cannot be written.
    """
    library = _library()
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str) or key == DESCRIPTION:
            raise ValueError(
                f"metadata must be texts by names other than {DESCRIPTION!r}, got {key!r}: {text!r}"
            )
    check_can_be_saved(layer)
    arrays = {
        name: to_numpy(array) for name, array in to_torch(layer, params, prefix, head).items()
    }
    texts = {"format": "pt", **(metadata or {}), DESCRIPTION: json.dumps(to_config(layer))}
    write_atomically(path, importlib.import_module(f"{library.__name__}.numpy").save(arrays, texts))


def load_safetensors(
    path: str | os.PathLike[str],
    layer: Convertible | None = None,
    prefix: str | None = None,
    head: str | None = None,
) -> tuple[Convertible, Params]:
    """Read a layer's parameters from a safetensors file with PyTorch's names.

    Parameters
    ----------
    path : str or path
    layer : Layer, Cell or SequenceModel, optional
        The layer that gets the parameters. By default it follows from the file's metadata, or else
        from the names and shapes of an LSTM's or a GRU's arrays.
    prefix, head
        As in `from_torch`.

    Returns
    -------
    layer, params
        float16 and float32 stay the same; bfloat16 becomes float32.

    Raises
    ------
    ModuleNotFoundError
        The package safetensors is not installed.
    OSError
        The file cannot be read.
    ValueError
        It is not a safetensors file, or its arrays do not fit the layer.
    """
    library = _library()
    content = Path(path).read_bytes()
    try:
        entries = library.deserialize(content)
        length = int.from_bytes(content[:8], "little")
        texts = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except Exception as error:  # safetensors has an exception of its own
        raise ValueError(f"{os.fspath(path)} is not a safetensors file: {error}") from error
    arrays = {name: _array(entry) for name, entry in entries if entry["dtype"] in DTYPES}
    if layer is None and DESCRIPTION in texts:
        layer = from_config(json.loads(texts[DESCRIPTION]))
    if layer is None:
        layer = _layer(arrays, prefix)
    return layer, from_torch(layer, arrays, prefix, head)


def _library() -> Untyped:
    try:
        return importlib.import_module("safetensors")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "safetensors is not installed: pip install npylstm[safetensors]"
        ) from error


def _array(entry: Mapping[str, Option]) -> Untyped:
    """Return one array of a file; the upper half of a float32 is a bfloat16."""
    array = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] != "BF16":
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def _layer(arrays: Arrays, prefix: str | None) -> Layer:
    """Return the LSTM or GRU that follows from the names and shapes of PyTorch's arrays."""
    own = own_part(arrays, prefix)
    try:
        rows, H = own["weight_hh_l0"].shape
        layers = len([name for name in own if re.fullmatch(r"weight_ih_l\d+", name)])
        H = own["weight_hr_l0"].shape[1] if "weight_hr_l0" in own else H
        kind = {4: "LSTM", 3: "GRU"}[rows // H]
        projection = own["weight_hr_l0"].shape[0] if "weight_hr_l0" in own else 0
        D = own["weight_ih_l0"].shape[1]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"layer must be given for a file that holds no LSTM or GRU, got {sorted(arrays)}"
        ) from error
    both = any(name.endswith("_reverse") for name in own)
    return layer_from_torch(kind, D, H, layers, bidirectional=both, proj_size=projection)
