"""How long a training step and an inference take, next to a lower bound and to other libraries.

All contenders run the same network on the same batch, in turns of a few steps, round after round.
A disturbance of the machine slows down all of them, so their ratios can be trusted where a single
time can't. In training each step follows a step of the same kind. The first step of a turn finds
another contender's data in the caches, so it is not timed. Each turn begins with a rest, because
the threads of some libraries go on waiting for work in a loop when their step has ended, and would
slow down the next contender. The time of a step on a GPU ends when the GPU has finished it.
"""

import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from npylstm.backend import Array, Device, Labels, Untyped, resolve_device, synchronize, to_device
from npylstm.cells import Cell, LSTMCell, Params
from npylstm.checks import check_number, check_size
from npylstm.interop import to_keras, to_torch
from npylstm.models import SequenceModel
from npylstm.sequence import Recurrent
from npylstm.training import RMSProp

DIGITS = 10
REST = 0.1  # seconds before a turn; threads that wait in a loop give up after some milliseconds
TIMED = 5  # steps of a turn that count


class LayerSize(NamedTuple):
    """T time steps, D inputs, H hidden units, B sequences in a batch."""

    T: int
    D: int
    H: int
    B: int


SIZES = (
    LayerSize(28, 28, 28, 128),
    LayerSize(28, 28, 128, 128),
    LayerSize(50, 64, 256, 32),
    LayerSize(50, 128, 512, 64),
    LayerSize(784, 1, 100, 64),
)
"""The first size is the classroom's, MNIST digits by rows. In the last the gradient vanishes."""

NETWORKS, NETWORKS_SIZE = 10, LayerSize(50, 6, 25, 20)
"""Small networks that are trained at once, as a study with several seeds does, and their size."""

PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "BLIS_ARCH_TYPE", "MKL_ENABLE_INSTRUCTIONS")
"""Variables of the environment with which BLAS takes other kernels than it would by itself."""

BUSY = 0.5
"""The load, in processors, above which timings can't be trusted."""

GPU_SIZES = (*SIZES[:4], LayerSize(50, 256, 1024, 128), LayerSize(50, 512, 2048, 256))
"""From far too small for a GPU to far too large for a CPU: the crossing lies in between."""


@dataclass(frozen=True)
class Timing:
    """The time that one contender took at one size.

    Attributes
    ----------
    size : LayerSize
        The network and the batch.
    task : str
        `"training step"` (forward, backward, RMSProp), `"inference"` (forward to the logits), or
        `"10 networks"` (a training step of so many at once).
    contender : str
        `"fused"`, `"unroll"`, `"floor"`, `"pytorch"` or `"tensorflow"`; on a GPU `"fused gpu"`,
        `"unroll gpu"` or `"pytorch gpu"` (cuDNN).
    median, fastest : float
        In seconds.
    steps : int
        How many were timed.
    """

    size: LayerSize
    task: str
    contender: str
    median: float
    fastest: float
    steps: int


TimedStep = Callable[[], object]


def run_bench(
    sizes: Sequence[LayerSize] | None = None,
    threads: int | None = None,
    seconds: float = 10.0,
    device: str = "cpu",
    report: Callable[[list[Timing]], None] = lambda _timings: None,
) -> list[Timing]:
    """Time every contender at every size, in float32.

    Parameters
    ----------
    sizes : sequence of LayerSize, optional
        The networks and batches; by default `SIZES`, or with a GPU `GPU_SIZES`.
    threads : int, optional
        How many threads NumPy's BLAS and the other libraries may use; by default what each
        chooses.
    seconds : float
        How long to go on at each size and task. Every contender has two turns at least.
    device : str
        `"cpu"`, or `"gpu"`, which compares the GPU with our fast path on the CPU, or `"auto"`.
    report : callable
        Is given the timings of each size and task as soon as they are known.

    Returns
    -------
    list of Timing
        By size, then task, then contender.

    Raises
    ------
    ValueError
        Threads below one, seconds that are not a positive number, an unknown device.
    RuntimeError
        `device` is `"gpu"` and there is no GPU.
    """
    check_number("seconds", seconds, low=0, open_low=True)
    found = resolve_device(device)
    timings: list[Timing] = []
    tasks = [
        (LayerSize(*size), contenders) for size in sizes or (SIZES if found == "cpu" else GPU_SIZES)
    ]
    if sizes is None and found == "cpu":
        tasks.append((NETWORKS_SIZE, networks_at_once))
    for size, make in tasks:
        for task, steps in make(size, found).items():
            with limited_threads(threads):  # here, since it finds loaded libraries only
                times = alternate(steps, seconds)
            new = [
                Timing(size, task, name, float(np.median(t)), min(t), len(t))
                for name, t in times.items()
            ]
            report(new)
            timings += new
    return timings


def contenders(size: LayerSize, device: Device = "cpu") -> dict[str, dict[str, TimedStep]]:
    """Return each task with its contenders, each as a function of no arguments.

    PyTorch and TensorFlow take part where they are installed.
    """
    T, D, H, B = size
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((T, B, D)).astype(np.float32)
    labels = rng.integers(0, DIGITS, B)
    cell = LSTMCell(D, H)
    params = SequenceModel(cell, DIGITS).init(rng, np.float32)

    network = cell, params, xs, labels
    pairs = {"fused": our_steps("fused", *network), "floor": _floor(size)}
    if device == "gpu":
        pairs["fused gpu"] = our_steps("auto", *network, "gpu")
        pairs["unroll gpu"] = our_steps("unroll", *network, "gpu")
        if _finds("torch") and importlib.import_module("torch").cuda.is_available():
            pairs["pytorch gpu"] = _torch(*network, "cuda")
    else:
        pairs["unroll"] = our_steps("unroll", *network)
        if _finds("torch"):
            pairs["pytorch"] = _torch(*network)
        if _finds("tensorflow"):
            pairs["tensorflow"] = _keras(*network)
    return {
        "training step": {name: train for name, (train, _) in pairs.items()},
        "inference": {name: infer for name, (_, infer) in pairs.items()},
    }


def networks_at_once(size: LayerSize, device: Device = "cpu") -> dict[str, dict[str, TimedStep]]:
    """Return our contenders for a training step of `NETWORKS` independent networks at once."""
    T, D, H, B = size
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((T, NETWORKS, B, D)).astype(np.float32)
    labels = rng.integers(0, DIGITS, (NETWORKS, B))
    cell = LSTMCell(D, H)
    inits = [SequenceModel(cell, DIGITS).init(rng, np.float32) for _ in range(NETWORKS)]
    params = {name: np.stack([init[name] for init in inits]) for name in inits[0]}
    train = {
        path: our_steps(path, cell, params, xs, labels, device)[0] for path in ("fused", "unroll")
    }
    return {f"{NETWORKS} networks": train | {"floor": _floor(size, (NETWORKS,))[0]}}


def _finds(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def our_steps(
    path: str,
    cell: Cell,
    params: Params,
    xs: Array,
    labels: Labels,
    device: Device = "cpu",
) -> tuple[TimedStep, TimedStep]:
    """Return a training step and an inference of a cell under a dense head, on one of our paths."""
    model, optimizer = SequenceModel(Recurrent(cell, path), DIGITS), RMSProp()
    params = to_device(params, device)
    xs, labels = to_device({"xs": xs, "labels": labels}, device).values()
    state = params, optimizer.init(params)

    def train() -> None:
        nonlocal state
        _, grads = model.loss_and_grads(state[0], xs, labels)
        state = optimizer.update(state[0], grads, state[1])
        synchronize(device)

    def infer() -> object:
        logits = model.predict(params, xs)
        synchronize(device)
        return logits

    return train, infer


def _floor(size: LayerSize, networks: tuple[int, ...] = ()) -> tuple[TimedStep, TimedStep]:
    """Return the matrix products and the hyperbolic tangents of the LSTM, and nothing else.

    Every step works on the same few arrays, which therefore stay in the processor's cache.
    """
    T, D, H, B = size
    rng = np.random.default_rng(0)

    W, W_h, u, dz, c = (
        rng.standard_normal((*networks, *shape)).astype(np.float32) / 10
        for shape in ((4 * H, H + 1 + D), (H, 4 * H), (H + 1 + D, B), (4 * H, B), (H, B))
    )
    z, a, tanh_c, dh, dW = (np.empty_like(like) for like in (dz, dz, c, c, W))

    def forward() -> None:
        for _ in range(T):
            np.matmul(W, u, z)
            np.tanh(z, a)
            np.tanh(c, tanh_c)

    def train() -> None:
        forward()
        for _ in range(T):
            np.matmul(W_h, dz, dh)
            np.matmul(dz, u.swapaxes(-1, -2), dW)

    return train, forward


def _torch(
    cell: LSTMCell, params: Params, xs: Array, labels: Labels, device: str = "cpu"
) -> tuple[TimedStep, TimedStep]:
    torch: Untyped = importlib.import_module("torch")
    lstm = torch.nn.LSTM(cell.input_size, cell.hidden_size)
    head = torch.nn.Linear(cell.hidden_size, DIGITS)
    recurrent = {name: params[name] for name in cell.param_shapes}
    lstm.load_state_dict({k: torch.tensor(w) for k, w in to_torch(cell, recurrent).items()})
    head.load_state_dict(
        {"weight": torch.tensor(params["W_y"].T), "bias": torch.tensor(params["b_y"])}
    )
    lstm, head = lstm.to(device), head.to(device)
    optimizer = torch.optim.RMSprop([*lstm.parameters(), *head.parameters()], lr=0.001)
    x, target = torch.from_numpy(xs).to(device), torch.from_numpy(labels).to(device)
    wait = torch.cuda.synchronize if device == "cuda" else torch.cpu.synchronize

    def train() -> None:
        optimizer.zero_grad()
        logits = head(lstm(x)[0][-1])
        torch.nn.functional.cross_entropy(logits, target).backward()
        optimizer.step()
        wait()

    def infer() -> object:
        with torch.inference_mode():
            logits = head(lstm(x)[0][-1])
        wait()
        return logits

    return train, infer


def _keras(
    cell: LSTMCell, params: Params, xs: Array, labels: Labels
) -> tuple[TimedStep, TimedStep]:
    tf: Untyped = importlib.import_module("tensorflow")
    layer = tf.keras.layers.LSTM(cell.hidden_size)
    model = tf.keras.Sequential([layer, tf.keras.layers.Dense(DIGITS)])
    x, target = tf.constant(xs.swapaxes(0, 1)), tf.constant(labels)
    model(x)
    recurrent = {name: params[name] for name in cell.param_shapes}
    model.set_weights([*to_keras(cell, recurrent), params["W_y"], params["b_y"]])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = tf.keras.optimizers.RMSprop(0.001)

    def train() -> None:
        with tf.GradientTape() as tape:
            value = loss(target, model(x, training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    return tf.function(train), tf.function(lambda: model(x))


def alternate(steps: dict[str, TimedStep], seconds: float) -> dict[str, list[float]]:
    """Run the steps in turns, and return the seconds that each step took each time."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 2 * TIMED:
        for name, step in steps.items():
            time.sleep(REST)
            step()
            for _ in range(TIMED):
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
    return times


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let BLAS, PyTorch and TensorFlow use `threads` threads in a block; None changes nothing."""
    if threads is None:
        yield
        return
    check_size("threads", threads)
    with threadpool_limits(threads):
        yield


def environment() -> dict[str, object]:
    """Return what the timings depend on: versions, processor, BLAS and its threads."""
    found: dict[str, object] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "numpy": np.__version__,
    }
    for name in ("torch", "tensorflow"):
        if name in sys.modules:
            found[name] = sys.modules[name].__version__
    found["blas"] = [
        {key: pool[key] for key in ("internal_api", "version", "architecture", "num_threads")}
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return found


def kernels() -> str:
    """Say which BLAS computes NumPy's products, with which kernels and on how many threads."""
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return "; ".join(
        f"{pool['internal_api']} {pool['version']}, kernels {pool.get('architecture', 'unknown')}, "
        f"{pool['num_threads']} threads"
        for pool in found
    )


def doubts() -> list[str]:
    """Return what makes timings doubtful: variables that pin kernels, and a busy machine."""
    found = [
        f"{name}={os.environ[name]} is set, so BLAS may not run its best kernels; without it: "
        f"env -u {name} npylstm bench"
        for name in PINS
        if name in os.environ
    ]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > BUSY:
        found.append(f"the machine is busy (load {load:.1f}); ratios hold better than times")
    return found


def table(timings: Sequence[Timing]) -> str:
    """Return the medians as a table, with their ratios to our fast path and to the floor."""
    lines = ["   T    D    H    B  task           contender         ms   / fused   / floor"]
    for t in timings:
        median = {
            other.contender: other.median
            for other in timings
            if (other.size, other.task) == (t.size, t.task)
        }
        lines.append(
            f"{t.size.T:4} {t.size.D:4} {t.size.H:4} {t.size.B:4}  {t.task:14} {t.contender:10} "
            f"{1e3 * t.median:9.3f} {t.median / median['fused']:9.2f} "
            f"{t.median / median['floor']:9.2f}"
        )
    return "\n".join(lines)


def timings_json(timings: Sequence[Timing]) -> str:
    """Return the timings, in seconds, and their environment as JSON."""
    rows = [asdict(t) | {"size": t.size._asdict()} for t in timings]
    return json.dumps({"environment": environment(), "timings": rows}, indent=1)
