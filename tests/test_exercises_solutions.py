"""The reference solutions of the exercises against other people's mathematics."""

import json
from pathlib import Path

import numpy as np
import pytest

from npylstm.exercises import TASKS, solutions
from npylstm.exercises.sources import plant
from npylstm.exercises.trials import make_trials, name_outputs, reference_trials

GRADIENT_TASKS = [task.name for task in TASKS.values() if task.loss]


@pytest.mark.parametrize("name", GRADIENT_TASKS)
def test_solution_equals_central_differences_of_its_forward_function(name):
    task = TASKS[name]
    for trial in make_trials(task, getattr(solutions, task.forward or name), 0):
        outputs = name_outputs(task, task.solution(*trial.arguments(task)))
        scale = max(np.max(abs(right)) for right in trial.right.values())
        for label, right in trial.right.items():
            np.testing.assert_allclose(outputs[label], right, rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize("name", TASKS)
def test_mistake_free_text_of_a_solution_is_the_solution(name):
    task = TASKS[name]
    for trial in reference_trials(name, 0):
        with np.errstate(all="ignore"):
            planted = name_outputs(task, plant(name)(*trial.arguments(task)))
            original = name_outputs(task, task.solution(*trial.arguments(task)))
        for label, array in original.items():
            np.testing.assert_array_equal(planted[label], array)


def torch_gradients(loss, variables):
    """Gradients by PyTorch's automatic differentiation."""
    torch = pytest.importorskip("torch")
    tensors = {
        name: torch.tensor(value, requires_grad=value.dtype.kind == "f")
        for name, value in variables.items()
    }
    loss(torch, **tensors).backward()
    return {name: t.grad.numpy() for name, t in tensors.items() if t.requires_grad}


def compare_with_torch(name, loss, variables, constants=()):
    task = TASKS[name]
    for trial in reference_trials(name, 3):
        used = {key: trial.inputs[key] for key in (*variables, *constants)}
        gradients = torch_gradients(loss, used)
        outputs = name_outputs(task, task.solution(*trial.arguments(task)))
        for variable in variables:
            np.testing.assert_allclose(
                outputs[f"d{variable}"], gradients[variable], rtol=1e-10, atol=1e-12
            )


def lstm_step(torch, x, h, c, W_x, W_h, b):
    """PyTorch's own LSTM step; it orders the gates i, f, g, o and keeps weights as rows."""

    def reorder(columns):
        i, f, o, g = columns.chunk(4, dim=-1)
        return torch.cat([i, f, g, o], dim=-1)

    return torch.lstm_cell(x, (h, c), reorder(W_x).T, reorder(W_h).T, reorder(b), 0 * b)


def test_lstm_step_equals_pytorch():
    def loss(torch, x, h_prev, c_prev, W_x, W_h, b, dh, dc):
        h, c = lstm_step(torch, x, h_prev, c_prev, W_x, W_h, b)
        return (h * dh).sum() + (c * dc).sum()

    variables = ("x", "h_prev", "c_prev", "W_x", "W_h", "b")
    compare_with_torch("lstm_cell_backward", loss, variables, ("dh", "dc"))


def test_lstm_step_forwards_equals_pytorch():
    torch = pytest.importorskip("torch")
    for trial in reference_trials("lstm_cell_forward", 3):
        arguments = trial.arguments(TASKS["lstm_cell_forward"])
        h, c, _ = solutions.lstm_cell_forward(*arguments)
        expected = lstm_step(torch, *map(torch.tensor, arguments))
        np.testing.assert_allclose(h, expected[0].numpy(), rtol=0, atol=1e-14)
        np.testing.assert_allclose(c, expected[1].numpy(), rtol=0, atol=1e-14)


def test_lstm_sequence_equals_pytorch():
    def loss(torch, xs, h0, c0, W_x, W_h, b, dhs):
        h, c, total = h0, c0, 0
        for x, dh in zip(xs, dhs, strict=True):
            h, c = lstm_step(torch, x, h, c, W_x, W_h, b)
            total = total + (h * dh).sum()
        return total

    compare_with_torch("lstm_backward", loss, ("xs", "h0", "c0", "W_x", "W_h", "b"), ("dhs",))


def test_rnn_sequence_equals_pytorch():
    def loss(torch, xs, h0, W_x, W_h, b, dhs):
        weights = (W_x.T.contiguous(), W_h.T.contiguous(), b, 0 * b)
        hs, _ = torch.rnn_tanh(xs, h0[None], weights, True, 1, 0.0, False, False, False)
        return (hs * dhs).sum()

    compare_with_torch("rnn_backward", loss, ("xs", "h0", "W_x", "W_h", "b"), ("dhs",))


def test_peephole_step_equals_pytorch():
    def loss(torch, x, h_prev, c_prev, W_x, W_h, b, p_i, p_f, p_o, dh, dc):
        z_i, z_f, z_o, z_g = (x @ W_x + h_prev @ W_h + b).chunk(4, dim=1)
        forget = torch.sigmoid(z_f + p_f * c_prev)
        c = forget * c_prev + torch.sigmoid(z_i + p_i * c_prev) * torch.tanh(z_g)
        h = torch.sigmoid(z_o + p_o * c) * torch.tanh(c)
        return (h * dh).sum() + (c * dc).sum()

    variables = ("x", "h_prev", "c_prev", "W_x", "W_h", "b", "p_i", "p_f", "p_o")
    compare_with_torch("peephole_lstm_cell_backward", loss, variables, ("dh", "dc"))


def test_gru_step_equals_pytorch():
    def loss(torch, x, h_prev, W_x, W_h, b, dh):
        H = h_prev.shape[1]
        x_r, x_u, x_n = (x @ W_x + b).chunk(3, dim=1)
        r = torch.sigmoid(x_r + h_prev @ W_h[:, :H])
        u = torch.sigmoid(x_u + h_prev @ W_h[:, H : 2 * H])
        n = torch.tanh(x_n + (r * h_prev) @ W_h[:, 2 * H :])
        return ((u * h_prev + (1 - u) * n) * dh).sum()

    compare_with_torch("gru_cell_backward", loss, ("x", "h_prev", "W_x", "W_h", "b"), ("dh",))


def test_softmax_cross_entropy_equals_pytorch():
    torch = pytest.importorskip("torch")
    for trial in reference_trials("softmax_cross_entropy", 3):
        logits, labels = trial.inputs["logits"], trial.inputs["labels"]
        tensor = torch.tensor(logits, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(labels))
        expected.backward()
        loss, dlogits = solutions.softmax_cross_entropy(logits, labels)
        np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
        np.testing.assert_allclose(dlogits, tensor.grad.numpy(), rtol=0, atol=1e-14)


def test_sigmoid_equals_pytorch():
    torch = pytest.importorskip("torch")
    z = np.linspace(-40, 40, 161)
    expected = torch.sigmoid(torch.tensor(z)).numpy()
    np.testing.assert_allclose(solutions.sigmoid(z), expected, rtol=0, atol=1e-15)


def test_rmsprop_takes_the_steps_of_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    param, ms = rng.normal(size=(3, 4)), np.zeros((3, 4))
    tensor = torch.tensor(param, requires_grad=True)
    optimizer = torch.optim.RMSprop([tensor], lr=0.1, alpha=0.8, eps=0.05)
    for _ in range(4):
        grad = rng.normal(size=(3, 4))
        tensor.grad = torch.tensor(grad)
        optimizer.step()
        param, ms = solutions.rmsprop_step(param, grad, ms, 0.1, 0.8, 0.05)
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=1e-12)


def test_rmsprop_tf1_takes_the_steps_of_tensorflow():
    golden = json.loads((Path(__file__).parent / "golden/optimizers.json").read_text())
    run = golden["rmsprop"]
    # TensorFlow keeps its hyper-parameters in float32
    hyper = [float(np.float32(v)) for v in run["hyperparameters"].values()]
    param = np.array(run["w0"])
    ms = np.ones_like(param)
    for grad, expected in zip(run["grads"], run["traj"], strict=True):
        param, ms = solutions.rmsprop_step_tf1(param, np.array(grad), ms, *hyper)
        np.testing.assert_allclose(param, expected, rtol=1e-12)


def test_clip_by_global_norm_equals_pytorch():
    torch = pytest.importorskip("torch")
    for trial in reference_trials("clip_by_global_norm", 3):
        grads, bound = trial.inputs["grads"], trial.inputs["max_norm"]
        tensors = [torch.zeros(grad.shape, dtype=torch.float64) for grad in grads.values()]
        for tensor, grad in zip(tensors, grads.values(), strict=True):
            tensor.grad = torch.tensor(grad)
        expected = torch.nn.utils.clip_grad_norm_(tensors, bound)
        clipped, norm = solutions.clip_by_global_norm(grads, bound)
        np.testing.assert_allclose(norm, expected.item(), rtol=1e-12)
        for tensor, grad in zip(tensors, clipped.values(), strict=True):
            np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-5)


def test_jacobian_product_norms_equal_numerical_jacobians():
    rng = np.random.default_rng(0)
    T, D, H = 5, 2, 3
    xs, W_x, W_h, b = (rng.normal(size=s) for s in ((T, 1, D), (D, H), (H, H), (H,)))
    hs = solutions.rnn_forward(xs, rng.normal(size=(1, H)), W_x, W_h, b)

    def last_state(h, t):
        return h if t == T - 1 else solutions.rnn_forward(xs[t + 1 :], h, W_x, W_h, b)[-1]

    for t, norm in enumerate(solutions.jacobian_product_norms(hs[:, 0], W_h)):
        step = 1e-6 * np.eye(H)[:, None, :]
        rows = [(last_state(hs[t] + e, t) - last_state(hs[t] - e, t))[0] / 2e-6 for e in step]
        np.testing.assert_allclose(norm, np.linalg.svd(rows, compute_uv=False)[0], rtol=1e-7)


def test_numerical_gradient_finds_a_known_gradient():
    x = np.random.default_rng(0).normal(size=(3, 4))
    gradient = solutions.numerical_gradient(lambda v: np.sin(v).sum() + v.prod(), x, 1e-5)
    np.testing.assert_allclose(gradient, np.cos(x) + x.prod() / x, rtol=1e-8)


def test_training_loop_trains_a_model_that_pytorch_trains_alike():
    torch = pytest.importorskip("torch")
    trial = reference_trials("train", 3)[0]
    inputs = trial.inputs
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in inputs["params"].items()}
    optimizer = torch.optim.SGD(tensors.values(), lr=inputs["lr"])
    losses = []
    for _ in range(inputs["epochs"]):
        for xs, labels in inputs["batches"]:
            h = torch.zeros(xs.shape[1], len(tensors["b"]), dtype=torch.float64)
            for x in torch.tensor(xs):
                h = torch.tanh(x @ tensors["W_x"] + h @ tensors["W_h"] + tensors["b"])
            loss = torch.nn.functional.cross_entropy(h @ tensors["W_y"], torch.tensor(labels))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tensors.values(), inputs["max_norm"])
            optimizer.step()
            losses.append(loss.item())
    params, ours = solutions.train(*trial.arguments(TASKS["train"]))
    np.testing.assert_allclose(ours, losses, rtol=1e-5)
    for name, param in params.items():
        np.testing.assert_allclose(param, tensors[name].detach().numpy(), rtol=0, atol=1e-5)
