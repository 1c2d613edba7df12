"""Array libraries and devices: which library an array belongs to, and moving arrays between them.

The only module that imports CuPy, and it does so only when a GPU is asked for.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array: TypeAlias = NDArray[np.floating]
"""A NumPy or CuPy array of floating-point numbers; each docstring gives the shape.

A type checker treats both as NumPy arrays, since CuPy has no types. Only the gradient check runs
the same code on complex numbers.
"""

AnyArray: TypeAlias = NDArray[Any]
"""A NumPy or CuPy array of any dtype."""

Labels: TypeAlias = NDArray[np.integer]
"""A NumPy or CuPy array of class numbers."""

Rng: TypeAlias = int | np.random.Generator | None
"""A source of randomness: None for a fresh one, a seed, or a generator (SPEC 7)."""

Device: TypeAlias = Literal["cpu", "gpu"]

Untyped: TypeAlias = Any
"""Another library, or an object of one, that has no types or need not be installed: CuPy and its
kernels, and the modules, tensors and nodes of the frameworks that weights come from."""


class ArrayLibrary(Protocol):
    """The functions that the package calls on an array library; NumPy and CuPy have them all."""

    def arange(self, stop: int, /) -> AnyArray: ...
    def asarray(self, a: ArrayLike, dtype: DTypeLike | None = None) -> AnyArray: ...
    def broadcast_to(self, a: Array, shape: tuple[int, ...], /) -> Array: ...
    def concatenate(self, arrays: Sequence[Array], axis: int = 0) -> Array: ...
    def cos(self, a: Array, /) -> Array: ...
    def empty(self, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array: ...
    def empty_like(self, a: Array) -> Array: ...
    def exp(self, a: Array, /) -> Array: ...
    def expm1(self, a: Array, /) -> Array: ...
    def eye(self, n: int, dtype: DTypeLike = float) -> Array: ...
    def full_like(self, a: Array, value: float) -> Array: ...
    def isfinite(self, a: Array, /) -> AnyArray: ...
    def log(self, a: Array, /) -> Array: ...
    def log1p(self, a: Array, /) -> Array: ...
    def maximum(self, a: ArrayLike, b: ArrayLike, /) -> Array: ...
    def moveaxis(self, a: Array, source: int, destination: int, /) -> Array: ...
    def ones(self, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array: ...
    def ones_like(self, a: Array) -> Array: ...
    def repeat(self, a: Array, repeats: int, axis: int | None = None) -> Array: ...
    def sign(self, a: Array, /) -> Array: ...
    def sin(self, a: Array, /) -> Array: ...
    def split(self, a: Array, parts: int | Sequence[int], axis: int = 0) -> list[Array]: ...
    def sqrt(self, a: ArrayLike, /) -> Array: ...
    def stack(self, arrays: Sequence[Array], axis: int = 0) -> Array: ...
    def take_along_axis(self, a: Array, indices: Array, axis: int) -> Array: ...
    def tanh(self, a: Array, /) -> Array: ...
    def where(self, condition: AnyArray | None, a: ArrayLike, b: ArrayLike, /) -> Array: ...
    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array: ...
    def zeros_like(self, a: Array) -> Array: ...


def array_module(x: AnyArray) -> ArrayLibrary:
    """Return the library that array `x` belongs to: the module `numpy` or `cupy`.

    The arrays decide, so the same line of code runs on both. An array of a library exists only
    after that library is imported, so this function never imports anything.
    """
    return cast(ArrayLibrary, sys.modules[type(x).__module__.partition(".")[0]])


@dataclass(frozen=True)
class DeviceStatus:
    """Whether a device can be used, and if it can't, why and what to do about it."""

    device: Device
    usable: bool
    detail: str


def _gpu_status() -> DeviceStatus:
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            return DeviceStatus("gpu", False, _broken(error))
        return DeviceStatus(
            "gpu",
            False,
            "CuPy is not installed; install the one for your CUDA version: "
            "pip install cupy-cuda12x or pip install cupy-cuda13x",
        )
    except Exception as error:  # a half-installed CuPy raises ImportError, OSError and others
        return DeviceStatus("gpu", False, _broken(error))
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return DeviceStatus("gpu", False, _no_device(str(error)))
    if count == 0:
        return DeviceStatus("gpu", False, _no_device("the driver reports 0 devices"))
    try:
        ones = cupy.ones((2, 2), dtype=np.float32)
        float((cupy.tanh(ones) @ ones).sum())  # compiles a kernel and calls cuBLAS
    except Exception as error:  # missing CUDA libraries show only now, in many forms
        return DeviceStatus("gpu", False, _broken(error))
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    return DeviceStatus("gpu", True, f"{name.decode()} through CuPy {cupy.__version__}")


def _no_device(reason: str) -> str:
    return (
        f"CuPy is installed but finds no GPU ({reason}); install an NVIDIA driver and check that "
        "nvidia-smi lists a device"
    )


def _broken(error: Exception) -> str:
    return (
        f"CuPy is installed but does not work ({type(error).__name__}: {error}); reinstall the "
        "build that matches your CUDA version: pip uninstall the present one, then "
        "pip install cupy-cuda12x or cupy-cuda13x with the CUDA libraries it needs"
    )


def available_devices() -> dict[Device, DeviceStatus]:
    """Say which devices can be used, and why a GPU can't.

    Returns
    -------
    dict
        `"cpu"` and `"gpu"`, each with its `DeviceStatus`. The GPU counts as usable once a small
        product has run on it.
    """
    cpu = DeviceStatus("cpu", True, f"NumPy {np.__version__}")
    return {"cpu": cpu, "gpu": _gpu_status()}


def resolve_device(device: str) -> Device:
    """Turn `"cpu"`, `"gpu"` or `"auto"` into the device to use.

    Raises
    ------
    ValueError
        `device` is not one of the three.
    RuntimeError
        `device` is `"gpu"` and no GPU can be used; the message says why and how to mend it.
    """
    if device not in ("cpu", "gpu", "auto"):
        raise ValueError(f"device must be 'cpu', 'gpu' or 'auto', got {device!r}")
    if device == "cpu":
        return "cpu"
    gpu = available_devices()["gpu"]
    if gpu.usable:
        return "gpu"
    if device == "gpu":
        raise RuntimeError(f"device='gpu' cannot be used: {gpu.detail}")
    return "cpu"


def device_module(device: Device) -> Untyped:
    """Return the array library of a device: `numpy` for `"cpu"`, `cupy` for `"gpu"`."""
    return np if device == "cpu" else importlib.import_module("cupy")


def synchronize(device: Device) -> None:
    """Wait until the device has done all its work; a CPU is never behind."""
    if device == "gpu":
        device_module(device).cuda.get_current_stream().synchronize()


def to_device(arrays: Mapping[str, AnyArray], device: Device) -> dict[str, AnyArray]:
    """Return `arrays` with every array on `device`; those already there are not copied."""
    if device == "cpu":
        return {name: to_numpy(array) for name, array in arrays.items()}
    cupy = device_module(device)
    return {name: cupy.asarray(array) for name, array in arrays.items()}


def to_numpy(array: ArrayLike) -> AnyArray:
    """Return `array` as a NumPy array in host memory; a NumPy array is returned as it is."""
    return array.get() if hasattr(array, "get") else np.asarray(array)
