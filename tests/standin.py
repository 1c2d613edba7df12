"""A stand-in for a GPU's array library: NumPy data that behaves as if it were on a device.

A `DeviceArray` refuses what CuPy refuses or what would silently stall a GPU: an operation with a
NumPy array, conversion to one, and reading a value on the host. Only `asarray` brings data in and
only `.get()` takes it out, and the latter is counted. A line of the package that mixes the two
libraries, or synchronises inside a step, therefore fails on any machine.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

host_reads = 0
SCALARS = (bool, int, float, complex, np.generic)


class DeviceArray:
    __array_ufunc__ = None  # numpy_array + device_array raises instead of converting

    def __init__(self, data):
        self._data = np.asarray(data)

    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    dtype = property(lambda self: self._data.dtype)
    real = property(lambda self: DeviceArray(self._data.real))
    nbytes = property(lambda self: self._data.nbytes)
    T = property(lambda self: DeviceArray(self._data.T))

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        return (DeviceArray(row) for row in self._data)

    def __getitem__(self, key):
        return DeviceArray(self._data[_unwrap(key)])

    def __setitem__(self, key, value):
        self._data[_unwrap(key)] = _unwrap(value)

    def get(self):
        global host_reads
        host_reads += 1
        return self._data.copy()

    def __repr__(self):
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    def _refuse(self, *args: Any, **kwargs: Any):
        raise TypeError("a device array cannot be read on the host; use .get()")

    __array__ = __bool__ = __float__ = __int__ = __complex__ = __index__ = item = tolist = _refuse


def _unwrap(value):
    if isinstance(value, DeviceArray):
        return value._data
    if isinstance(value, tuple | list):
        return type(value)(map(_unwrap, value))
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array among device arrays")
    return value


def _wrap(result):
    if isinstance(result, np.ndarray | np.generic):
        return DeviceArray(result)
    if isinstance(result, tuple | list):
        return type(result)(map(_wrap, result))
    return result


def _on_device(function):
    def call(*args, **kwargs):
        kwargs = {k: v if k == "dtype" else _unwrap(v) for k, v in kwargs.items()}
        return _wrap(function(*map(_unwrap, args), **kwargs))

    return call


def _binary(name, reflected=False):
    function = getattr(operator, name)

    def call(self, other):
        if not isinstance(other, (DeviceArray, *SCALARS)):
            raise TypeError(f"a {type(other).__name__} among device arrays")
        a, b = _unwrap(self), _unwrap(other)
        return _wrap(function(b, a) if reflected else function(a, b))

    return call


BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
COMPARISON = ("lt", "le", "gt", "ge", "eq", "ne", "and_", "or_")
UNARY = ("neg", "abs", "invert")
IN_PLACE = ("iadd", "isub", "imul", "itruediv")
METHODS = (
    *("sum", "mean", "max", "min", "any", "all", "clip"),
    *("astype", "copy", "fill", "ravel", "reshape", "swapaxes", "transpose"),
)

for _name in BINARY:
    setattr(DeviceArray, f"__{_name.strip('_')}__", _binary(_name))
    setattr(DeviceArray, f"__r{_name}__", _binary(_name, reflected=True))
for _name in COMPARISON:
    setattr(DeviceArray, f"__{_name.strip('_')}__", _binary(_name))
for _name in UNARY + IN_PLACE:
    setattr(DeviceArray, f"__{_name}__", _on_device(getattr(operator, _name)))
for _name in METHODS:
    setattr(DeviceArray, _name, _on_device(getattr(np.ndarray, _name)))


class cuda:
    """The part of `cupy.cuda` that waits for the device."""

    class _Stream:
        def synchronize(self):
            cuda.waits += 1

    waits = 0
    get_current_stream = _Stream


def asarray(value, dtype=None):
    """Bring host data to the device, or cast what is there already."""
    return DeviceArray(np.array(value._data if isinstance(value, DeviceArray) else value, dtype))


class ElementwiseKernel:
    """CuPy's class of this name, for kernels whose CUDA C reads as Python once types are gone."""

    def __init__(self, in_params, out_params, operation, name):
        self._inputs = [parameter.split()[1] for parameter in in_params.split(",")]
        self._outputs = [parameter.split()[1] for parameter in out_params.split(",")]
        lines = (line.strip().removeprefix("T ") for line in operation.strip().splitlines())
        self._code = compile("\n".join(line.rstrip(";") for line in lines), name, "exec")

    def __call__(self, *arguments):
        arrays = [_unwrap(array) for array in arguments]
        dtypes = {array.dtype for array in arrays}
        if len(dtypes) > 1:
            raise TypeError(f"the kernel's type T stands for one dtype, got {dtypes}")
        names = {"T": dtypes.pop().type, "tanh": np.tanh}
        names |= dict(zip(self._inputs, arrays, strict=False))
        exec(self._code, names)
        for name, out in zip(self._outputs, arrays[len(self._inputs) :], strict=True):
            out[...] = names[name]


def __getattr__(name):
    return _on_device(getattr(np, name))
