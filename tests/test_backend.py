import subprocess
import sys
import types

import numpy as np
import pytest

from npylstm.backend import (
    array_module,
    available_devices,
    device_module,
    resolve_device,
    to_device,
    to_numpy,
)


class CUDARuntimeError(RuntimeError):
    pass


class FakeArray:
    """An array on a pretended device."""

    def __init__(self, host):
        self.host = np.asarray(host)

    def get(self):
        return self.host.copy()

    def __matmul__(self, other):
        return FakeArray(self.host @ other.host)

    def sum(self):
        return self.host.sum()


FakeArray.__module__ = "cupy"


def fake_cupy(devices=1, product=lambda a: a):
    """A module that answers what the backend asks of CuPy.

    `devices` is their number, or the error that asking for it raises; `product` is called with
    the first array that is computed with.
    """

    def device_count():
        if isinstance(devices, Exception):
            raise devices
        return devices

    cupy = types.ModuleType("cupy")
    cupy.__version__ = "13.0"
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=device_count,
            getDeviceProperties=lambda k: {"name": b"Imaginary GPU"},
        )
    )
    cupy.ones = lambda shape, dtype: FakeArray(np.ones(shape, dtype))
    cupy.tanh = lambda a: product(FakeArray(np.tanh(a.host)))
    cupy.asarray = lambda a: a if isinstance(a, FakeArray) else FakeArray(a)
    return cupy


def install(monkeypatch, cupy):
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def broken_product(array):
    raise ImportError("libcublas.so.12: cannot open shared object file")


# ------------------------------------------------------------------ the three failures


def expect_no_gpu(*words):
    """Assert that "gpu" fails and says these words, "auto" falls back, and the CPU is untouched."""
    status = available_devices()["gpu"]
    assert not status.usable
    with pytest.raises(RuntimeError, match="device='gpu' cannot be used") as error:
        resolve_device("gpu")
    for word in words:
        assert word in status.detail
        assert word in str(error.value)
    assert resolve_device("auto") == "cpu"
    assert resolve_device("cpu") == "cpu"
    assert available_devices()["cpu"].usable


def test_without_cupy_the_message_says_what_to_install(monkeypatch):
    install(monkeypatch, None)  # what makes `import cupy` raise ModuleNotFoundError
    expect_no_gpu("CuPy is not installed", "pip install cupy-cuda12x", "cupy-cuda13x")


def test_without_a_driver_the_message_quotes_the_error(monkeypatch):
    error = CUDARuntimeError("cudaErrorInsufficientDriver: driver version is insufficient")
    install(monkeypatch, fake_cupy(error))
    expect_no_gpu("finds no GPU", "cudaErrorInsufficientDriver", "nvidia-smi")


def test_with_a_driver_but_no_device_the_message_says_so(monkeypatch):
    install(monkeypatch, fake_cupy(0))
    expect_no_gpu("finds no GPU", "0 devices", "nvidia-smi")


def test_missing_cuda_libraries_show_at_the_first_product(monkeypatch):
    install(monkeypatch, fake_cupy(product=broken_product))
    expect_no_gpu("does not work", "ImportError: libcublas.so.12", "reinstall")


@pytest.mark.parametrize("line", ["raise ImportError('libcuda.so.1')", "raise OSError('no DLL')",
                                  "import a_module_that_is_missing"])  # fmt: skip
def test_a_cupy_that_cannot_be_imported_counts_as_broken(monkeypatch, tmp_path, line):
    (tmp_path / "cupy.py").write_text(line)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    expect_no_gpu("installed but does not work", "reinstall")


# ------------------------------------------------------------------ a device that works


def test_a_working_gpu_is_taken_and_named(monkeypatch):
    install(monkeypatch, fake_cupy())
    assert resolve_device("gpu") == resolve_device("auto") == "gpu"
    assert resolve_device("cpu") == "cpu"
    status = available_devices()["gpu"]
    assert status.usable
    assert "Imaginary GPU" in status.detail


def test_arrays_move_to_a_device_and_back(monkeypatch):
    install(monkeypatch, fake_cupy())
    params = {"W": np.arange(6.0).reshape(2, 3), "b": np.ones(3, np.float32)}
    moved = to_device(params, "gpu")
    assert all(isinstance(array, FakeArray) for array in moved.values())
    assert to_device(moved, "gpu")["W"] is moved["W"]
    back = to_device(moved, "cpu")
    for name, array in params.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
        np.testing.assert_array_equal(to_numpy(moved[name]), array)


def test_the_library_of_an_array_is_the_one_it_belongs_to(monkeypatch):
    cupy = fake_cupy()
    install(monkeypatch, cupy)
    assert array_module(FakeArray([1.0])) is cupy
    assert array_module(np.ones(2)) is np
    assert array_module(np.float32(1)) is np
    assert device_module("gpu") is cupy


# ------------------------------------------------------------------ the CPU


def test_arrays_in_host_memory_are_not_copied():
    params = {"W": np.ones(3)}
    assert to_device(params, "cpu")["W"] is params["W"]
    assert to_numpy(params["W"]) is params["W"]
    assert device_module("cpu") is np


@pytest.mark.parametrize("device", ["cuda", "GPU", "", None, 0])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ValueError, match="device must be 'cpu', 'gpu' or 'auto', got"):
        resolve_device(device)


def test_asking_for_the_cpu_never_looks_for_cupy():
    code = (
        "import sys; sys.modules['cupy'] = None\n"
        "from npylstm.backend import *\n"
        "import numpy as np\n"
        "assert resolve_device('cpu') == 'cpu'\n"
        "to_device({'W': np.ones(2)}, 'cpu'), array_module(np.ones(2))\n"
        "assert sys.modules['cupy'] is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
def test_a_real_gpu_computes():
    if not available_devices()["gpu"].usable:
        pytest.skip(available_devices()["gpu"].detail)
    params = {"W": np.arange(6.0).reshape(2, 3)}
    moved = to_device(params, resolve_device("gpu"))
    assert array_module(moved["W"]).__name__ == "cupy"
    np.testing.assert_array_equal(to_numpy(2 * moved["W"]), 2 * params["W"])
