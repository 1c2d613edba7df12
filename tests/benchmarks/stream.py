"""One step at a time at batch 1: `Stream`, PyTorch's LSTMCell and ONNX Runtime, on one thread.

python tests/benchmarks/stream.py
"""

import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from npylstm import LSTMCell, Stream
from npylstm.interop import to_onnx, to_torch


def microseconds(step, repeats=1000, rounds=7):
    """The least mean time of a step over several rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(repeats):
            step()
        times.append((time.perf_counter() - began) / repeats * 1e6)
    return min(times)


def torch_step(cell, params, x):
    module = torch.nn.LSTMCell(cell.input_size, cell.hidden_size)
    arrays = to_torch(cell, params)
    module.load_state_dict({n.removesuffix("_l0"): torch.tensor(a) for n, a in arrays.items()})
    state, given = [None], torch.tensor(x)

    def step():
        state[0] = module(given, state[0])
        return state[0][0].numpy()

    return step


def onnx_step(cell, params, x):
    H, value = cell.hidden_size, helper.make_tensor_value_info
    (weights,) = to_onnx(cell, params)
    names = ["Y", "Y_h", "Y_c"]
    node = helper.make_node("LSTM", ["X", "W", "R", "B", "", "h", "c"], names, hidden_size=H)
    graph = helper.make_graph(
        [node],
        "graph",
        [value(name, TensorProto.FLOAT, [1, 1, H]) for name in "Xhc"],
        [value(name, TensorProto.FLOAT, None) for name in names],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    carried = {"h": np.zeros((1, 1, H), np.float32), "c": np.zeros((1, 1, H), np.float32)}

    def step():
        y, carried["h"], carried["c"] = session.run(None, {"X": x[None], **carried})
        return y[0, 0]

    return step


def main():
    torch.set_num_threads(1)
    for H in (8, 64):
        cell = LSTMCell(H, H)
        params = cell.init(0, np.float32)
        x = np.random.default_rng(0).normal(size=(1, H)).astype(np.float32)
        stream = Stream(cell, params)
        steps = {
            "Stream": lambda stream=stream, x=x: stream(x),
            "PyTorch": torch_step(cell, params, x),
            "ONNX Runtime": onnx_step(cell, params, x),
        }
        with torch.inference_mode():
            first, *others = [step() for step in steps.values()]
            assert all(np.abs(other - first).max() < 1e-6 for other in others)
            figures = [f"{name} {microseconds(step):.1f}" for name, step in steps.items()]
        print(f"{H} units, microseconds a step: {', '.join(figures)}")


if __name__ == "__main__":
    main()
