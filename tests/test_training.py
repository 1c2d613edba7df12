"""The training loop, runs and their folders, saved models, and the first gradient-flow figures."""

import copy
import csv
import errno
import json
import math
import os
import random
import tracemalloc
from dataclasses import asdict, dataclass, fields, replace
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pytest
import standin

from npylstm.analysis.flow import gradient_flow
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.data import load_mnist, row_sequences
from npylstm.models import checkpoint
from npylstm.models.model import SequenceModel
from npylstm.models.saving import from_config, load_model, save_model, to_config
from npylstm.sequence.layers import Bidirectional, Recurrent, Stack
from npylstm.sequence.wrappers import Dropout, Residual
from npylstm.training.optimizers import SGD, Adam, RMSProp
from npylstm.training.runs import Run
from npylstm.training.settings import CELL_KINDS, OPTIMIZERS, RunSettings
from npylstm.training.trainer import Epoch, Examples, Trainer, evaluate, predict

SMALL = RunSettings(hidden_size=4, batch_size=1000, epochs=3, checkpoint_interval=1)


def toy(n=50, seed=0):
    """Return sequences whose class is the place of their largest input at the first step."""
    xs = np.random.default_rng(seed).standard_normal((4, n, 3))
    return Examples(xs, xs[0].argmax(axis=-1))


def toy_trainer(**options):
    model = SequenceModel(LSTMCell(3, 5), output_size=3)
    return Trainer(model, RMSProp(0.01), **{"batch_size": 8} | options)


def last(states):
    *_, state = states
    return state


def same_state(a, b):
    arrays_a = {**a.params, **{(n, s): v for n, d in a.slots.items() for s, v in d.items()}}
    arrays_b = {**b.params, **{(n, s): v for n, d in b.slots.items() for s, v in d.items()}}
    assert arrays_a.keys() == arrays_b.keys()
    return all(np.array_equal(arrays_a[name], arrays_b[name]) for name in arrays_a) and (
        a.history,
        a.batch,
        float(a.loss_sum),
    ) == (b.history, b.batch, float(b.loss_sum))


# The loop


def test_loop_learns_what_can_be_learnt():
    state = last(toy_trainer().states(toy_trainer().start(), toy(400), toy(100, seed=1), epochs=20))
    assert state.history[0].test_accuracy < 0.7
    assert state.history[-1].test_accuracy > 0.9


def test_loop_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    data = toy()
    trainer = replace(toy_trainer(), optimizer=RMSProp(0.01, convention="torch", momentum=0.5))
    start = trainer.start(np.float64)

    lstm, head = torch.nn.LSTM(3, 5, dtype=torch.float64), torch.nn.Linear(5, 3).double()
    order = np.r_[0:5, 5:10, 15:20, 10:15]  # ours is i, f, o, g; PyTorch's is i, f, g, o
    with torch.no_grad():
        for name, theirs in (
            (start.params["W_x"].T[order], lstm.weight_ih_l0),
            (start.params["W_h"].T[order], lstm.weight_hh_l0),
            (start.params["b"][order], lstm.bias_ih_l0),
            (np.zeros(20), lstm.bias_hh_l0),
            (start.params["W_y"].T, head.weight),
            (start.params["b_y"], head.bias),
        ):
            theirs.copy_(torch.tensor(name))
    lstm.bias_hh_l0.requires_grad_(False)
    weights = [w for w in [*lstm.parameters(), *head.parameters()] if w.requires_grad]
    optimizer = torch.optim.RMSprop(weights, 0.01, alpha=0.9, momentum=0.5)
    xs, labels = torch.tensor(data.xs), torch.tensor(data.labels)

    def loss_of(part):
        return torch.nn.functional.cross_entropy(head(lstm(xs[:, part])[0][-1]), labels[part])

    expected = []
    for _ in range(3):
        losses = []
        for n in range(0, 48, 8):  # in the order of the data, without the two left over
            loss = loss_of(slice(n, n + 8))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            expected.append((np.mean(losses), loss_of(slice(None)).item()))

    history = last(trainer.states(start, data, data, epochs=3)).history
    np.testing.assert_allclose([epoch[1:3] for epoch in history], expected, rtol=1e-10)


def test_clipping_bounds_each_entry_and_then_the_norm():
    def step(**options):
        trainer = replace(toy_trainer(**options), optimizer=SGD(1.0))
        start = trainer.start()
        after = trainer.step(start, toy().xs, toy().labels)
        return np.concatenate([(start.params[n] - w).ravel() for n, w in after.params.items()])

    plain = step()
    assert np.abs(plain).max() > 1e-2
    np.testing.assert_allclose(step(clip_value=1e-2), plain.clip(-1e-2, 1e-2), atol=1e-15)
    np.testing.assert_allclose(
        step(clip_norm=1e-2), plain * 1e-2 / np.linalg.norm(plain), atol=1e-15
    )
    both = plain.clip(-1e-2, 1e-2)
    np.testing.assert_allclose(
        step(clip_value=1e-2, clip_norm=1e-2), both * 1e-2 / np.linalg.norm(both), atol=1e-15
    )


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"clip_value": 0.01, "seed": 3}])
def test_same_seed_gives_the_same_run_and_another_seed_another(options):
    def run(**more):
        trainer = toy_trainer(**options | more)
        return last(trainer.states(trainer.start(), toy(), toy(), epochs=2))

    assert same_state(run(), run())
    assert run().history != run(seed=99).history


def test_going_on_from_any_state_gives_the_same_run():
    model = SequenceModel(Dropout(LSTMCell(3, 5), 0.8, 0.8, 0.8), output_size=3)
    trainer = replace(toy_trainer(shuffle=True), model=model)
    states = list(trainer.states(trainer.start(), toy(), toy(), epochs=3))
    assert len(states) == 3 * 6
    for state in states:
        if state is not states[-1]:
            assert same_state(last(trainer.states(state, toy(), toy(), epochs=3)), states[-1])


def test_shuffle_sees_every_sequence_and_another_order_each_epoch(monkeypatch):
    data = Examples(np.arange(48.0).reshape(1, 48, 1), np.zeros(48, int))
    trainer = Trainer(SequenceModel(RNNCell(1, 2), 2), SGD(0.01), 8, shuffle=True)
    seen = []
    step = Trainer.step
    monkeypatch.setattr(
        Trainer,
        "step",
        lambda self, state, xs, *rest: seen.append(xs[0, :, 0]) or step(self, state, xs, *rest),
    )
    last(trainer.states(trainer.start(), data, data, epochs=2))
    first, second = np.concatenate(seen[:6]), np.concatenate(seen[6:])
    assert sorted(first) == sorted(second) == list(range(48))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(48))


@pytest.fixture
def seen(monkeypatch):
    """Each step's loss and the first number from its generator, as the loop goes along."""
    seen = []
    right = SequenceModel.loss_and_grads

    def watched(*args, rng):
        loss, grads = right(*args, rng=rng)
        seen.append((float(loss), rng.random()))
        return loss, grads

    monkeypatch.setattr(SequenceModel, "loss_and_grads", watched)
    return seen


def test_the_train_loss_of_an_epoch_is_the_mean_over_its_steps(seen):
    states = toy_trainer().states(toy_trainer().start(), toy(), toy(), epochs=3)
    seen.clear()
    history = last(states).history
    losses = np.array(seen)[:, 0].reshape(3, 6)
    np.testing.assert_allclose([epoch.train_loss for epoch in history], losses.mean(axis=1))


def test_every_step_of_a_run_draws_masks_of_its_own(seen):
    states = toy_trainer().states(toy_trainer().start(), toy(), toy(), epochs=3)
    seen.clear()
    last(states)
    assert len({draw for _, draw in seen}) == 18


def test_steps_change_nothing_they_were_given():
    trainer, data = toy_trainer(clip_norm=0.1, clip_value=0.1), toy()
    start = trainer.start()
    before = {name: array.copy() for name, array in start.params.items()}
    last(trainer.states(start, data, data, epochs=1))
    assert all(np.array_equal(start.params[name], before[name]) for name in before)
    assert (start.history, start.batch) == ((), 0)


def test_evaluation_in_chunks_counts_every_sequence_once():
    model, data = SequenceModel(LSTMCell(3, 5), 3), toy(50)
    params = model.init(0)
    whole = model.predict(params, data.xs)
    np.testing.assert_allclose(predict(model, params, data.xs, chunk=7), whole, rtol=1e-12)
    loss, accuracy = evaluate(model, params, data)
    assert accuracy == np.mean(whole.argmax(axis=1) == data.labels)
    exp = np.exp(whole)
    expected = -np.mean(np.log(exp[np.arange(50), data.labels] / exp.sum(axis=1)))
    assert loss == pytest.approx(expected, rel=1e-12)


def test_dtype_of_the_parameters_stays():
    trainer, data = toy_trainer(clip_norm=1.0), toy()
    single = Examples(data.xs.astype(np.float32), data.labels)
    state = last(trainer.states(trainer.start(np.float32), single, single, epochs=1))
    assert {array.dtype for array in state.params.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "clip_norm": 0.1}])
def test_training_on_a_device_is_the_same_and_reads_nothing_back_inside_an_epoch(options):
    trainer, data = toy_trainer(**options), toy()
    start = trainer.start()
    moved = Examples(standin.asarray(data.xs), standin.asarray(data.labels))
    params = {name: standin.asarray(array) for name, array in start.params.items()}
    reads = []
    states = trainer.states(
        replace(start, params=params, slots=trainer.optimizer.init(params)), moved, moved, 2
    )
    for state in states:  # noqa: B007
        reads.append(standin.host_reads)
    expected = last(trainer.states(start, data, data, epochs=2))
    np.testing.assert_allclose(state.history, expected.history, rtol=1e-12)
    assert reads[4] == reads[0]  # the last of six steps is followed by the evaluation


# Bad input to the loop


def test_integer_inputs_are_refused():
    with pytest.raises(TypeError, match="xs must hold floating-point numbers, got dtype int64"):
        Examples(np.ones((4, 5, 3), np.int64), np.zeros(5, int))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_in_the_data_are_refused(bad):
    xs = np.zeros((4, 5, 3))
    xs[2, 3, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 5 sequences, first in number 3"):
        Examples(xs, np.zeros(5, int))


@pytest.mark.parametrize(
    ("xs", "labels", "error", "message"),
    [
        (np.zeros((4, 5)), np.zeros(5, int), ValueError, r"xs must have shape \(T, N, D\)"),
        (np.zeros((2, 4, 5, 3)), np.zeros(5, int), ValueError, r"got \(2, 4, 5, 3\)"),
        (np.zeros((4, 0, 3)), np.zeros(0, int), ValueError, "none zero"),
        (np.zeros((4, 5, 3)), np.zeros(6, int), ValueError, r"labels must have shape \(5,\)"),
        (np.zeros((4, 5, 3)), [0] * 5, TypeError, "array of integers, got list"),
        (np.zeros((4, 5, 3)), np.zeros(5), TypeError, "array of integers, got dtype float64"),
    ],
)
def test_examples_that_do_not_fit_are_refused(xs, labels, error, message):
    with pytest.raises(error, match=message):
        Examples(xs, labels)


def test_labels_beyond_the_classes_are_refused_before_the_first_step():
    data = Examples(np.zeros((4, 8, 3)), np.array([0, 1, 2, 3, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match=r"test\.labels must be 0 to 2, got 0 to 3"):
        toy_trainer().states(toy_trainer().start(), toy(), data, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"clip_norm": 0.0}, r"clip_norm must be a finite number in \(0, inf., got 0.0"),
        ({"clip_value": -1.0}, "clip_value must be"),
        ({"seed": -1}, "seed must be a non-negative integer, got -1"),
        ({"model": SequenceModel(LSTMCell(3, 5), 3, every_step=True)}, "whole sequences"),
    ],
)
def test_settings_of_the_loop_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        toy_trainer(**options) if "model" not in options else replace(toy_trainer(), **options)


def test_less_than_one_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at most the 5 training sequences"):
        toy_trainer().states(toy_trainer().start(), toy(5), toy(5), epochs=1)


def test_data_of_another_dtype_than_the_parameters_are_refused():
    with pytest.raises(ValueError, match=r"train\.xs must be of the parameters' dtype, float32"):
        toy_trainer().states(toy_trainer().start(np.float32), toy(), toy(), epochs=1)


def test_zero_epochs_are_refused():
    with pytest.raises(ValueError, match="epochs must be a positive integer, got 0"):
        toy_trainer().states(toy_trainer().start(), toy(), toy(), epochs=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_loss_that_is_not_finite_stops_the_run_and_names_the_step(monkeypatch, bad):
    trainer = toy_trainer()  # with six steps in an epoch
    states = trainer.states(trainer.start(), toy(), toy(), epochs=5)
    losses = iter([1.0] * 10 + [bad])
    right = SequenceModel.loss_and_grads
    monkeypatch.setattr(
        SequenceModel,
        "loss_and_grads",
        lambda *args, **options: (np.float64(next(losses)), right(*args, **options)[1]),
    )
    with pytest.raises(FloatingPointError, match=f"the loss became {bad} at step 11"):
        last(states)


def test_parameters_that_explode_stop_the_run_without_a_warning():
    trainer = replace(toy_trainer(), optimizer=SGD(1e308))
    with pytest.raises(FloatingPointError, match=r"the loss became (nan|inf) at step"):
        last(trainer.states(trainer.start(), toy(), toy(), epochs=5))


# Models in files


def all_kinds_of_layers():
    sides = Bidirectional(LSTMVariant.preset("FGR", 3, 4), GRUCell(3, 4, reset_after=True))
    return Stack([sides, Residual(Dropout(RNNCell(8, 8, "relu"), 0.5)), Recurrent(LSTMCell(8, 2))])


def test_a_model_read_back_is_the_same_to_the_last_bit(tmp_path):
    model = SequenceModel(all_kinds_of_layers(), 3, "mean_squared_error", True, 0.5)
    params = model.init(0, np.float32)
    save_model(tmp_path / "model.npz", model, params)
    again, loaded = load_model(tmp_path / "model.npz")
    assert again == model
    assert {n: (a.dtype, a.tobytes()) for n, a in loaded.items()} == {
        n: (a.dtype, a.tobytes()) for n, a in params.items()
    }


@pytest.mark.parametrize("name", CELL_KINDS)
def test_every_cell_of_the_command_line_can_be_described_and_made_again(name):
    kind, options = CELL_KINDS[name]
    cell = kind(3, 4, **options)
    assert from_config(json.loads(json.dumps(to_config(cell)))) == cell


def test_numpy_numbers_in_a_model_are_described_as_plain_ones():
    config = to_config(LSTMCell(np.int64(3), 4, forget_bias=np.float32(1.5)))
    assert json.loads(json.dumps(config))["forget_bias"] == 1.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class": "os.system"}, "class must be one of .* got 'os.system'"),
        ({"input_size": 3}, "class must be one of .* got None"),
        ({"class": ["LSTMCell"]}, "class must be one of"),
        ({"class": "LSTMCell", "input_size": 3, "hidden_size": 0}, "hidden_size must be"),
        ({"class": "LSTMCell", "input_size": 3}, "LSTMCell cannot be made of"),
        ({"class": "LSTMCell", "input_size": 3, "hidden_size": 4, "x": 1}, "LSTMCell cannot be"),
    ],
)
def test_descriptions_of_something_else_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        from_config(config)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"model": 3},
        {"model": {"class": "LSTMCell", "input_size": 3, "hidden_size": 4}},
        {"model": to_config(SequenceModel(LSTMCell(3, 5), 2))},
        {"model": to_config(SequenceModel(LSTMCell(3, 4), 5))},
        {"model": to_config(SequenceModel(LSTMCell(10**15, 10**15), 2))},
        {"model": to_config(SequenceModel(GRUCell(3, 4), 2))},
    ],
)
def test_checkpoints_that_hold_another_model_or_none_are_refused(tmp_path, meta):
    params = SequenceModel(LSTMCell(3, 4), 2).init(0)
    checkpoint.save(tmp_path / "model.npz", params, meta)
    with pytest.raises(ValueError, match=r"model\.npz holds no (sound )?model"):
        load_model(tmp_path / "model.npz")


def test_a_checkpoint_in_place_of_a_model_is_refused_with_the_name_of_the_right_file(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.npz", SequenceModel(LSTMCell(3, 4), 2).init(0), {})
    message = r"checkpoint\.npz holds no model; a run's model is its model\.npz"
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "checkpoint.npz")


def places(config, at=()):
    """Where something stands in a description: the keys and numbers that lead there."""
    for key, part in config.items() if isinstance(config, dict) else enumerate(config):
        yield (*at, key)
        if isinstance(part, dict | list):
            yield from places(part, (*at, key))


ODD = [None, True, -1, 0, 1, 3, 10**15, 10**30, 0.5, math.nan, math.inf, "", "tanh", [], [[]], {}]
SPOIL = [
    *(lambda a, kind=kind: np.ones(a.shape, kind) for kind in (int, "f2", complex, bool, str)),
    lambda a: np.full(a.shape, math.nan),
    lambda a: np.stack([a, a]),
    lambda a: a.T,
    lambda a: a[:-1],
    np.ravel,
]


def spoiled(config, params, rng):
    """A description and parameters with a few places changed, dropped or exchanged."""
    config, params = copy.deepcopy(config), dict(params)
    for _ in range(rng.randint(0, 3)):
        *path, key = rng.choice(list(places(config)))
        parent = reduce(getitem, path, config)
        if rng.random() < 0.3:
            del parent[key]
        else:
            parts = [reduce(getitem, place, config) for place in places(config)]
            parent[key] = copy.deepcopy(rng.choice(rng.choice([ODD, parts])))
    for _ in range(rng.randint(0, 2)):
        name = rng.choice(list(params))
        array = params.pop(name)
        if rng.random() < 0.8:
            params[rng.choice([name, name, "x", "0.x"])] = rng.choice(SPOIL)(array)
    return config, params


@pytest.mark.parametrize(
    "repeats", [300, pytest.param(100_000, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_a_model_made_to_fool_is_refused_or_can_predict(monkeypatch, repeats):
    """Whatever a file with the right digest may hold; how it is taken apart is tested elsewhere."""
    rng = random.Random(1)
    model = SequenceModel(all_kinds_of_layers(), 3)
    sound = json.loads(json.dumps(to_config(model))), model.init(0)
    monkeypatch.setattr(checkpoint, "load", lambda _: (params, {"model": config}))
    tracemalloc.start()
    for _ in range(repeats):
        config, params = spoiled(*sound, rng)
        try:
            model, weights = load_model("model.npz")
            model.predict(weights, np.ones((2, 1, model.recurrent.input_size)))
        except ValueError as error:
            assert "model.npz holds no sound model" in str(error)  # noqa: PT017
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_file_that_is_no_model_is_refused_without_unpickling(tmp_path):
    np.savez(tmp_path / "model.npz", x=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="not an npylstm checkpoint"):
        load_model(tmp_path / "model.npz")


# Runs and their folders


def test_defaults_are_the_program_of_the_tutorial():
    trainer = RunSettings().trainer()
    layer = Recurrent(LSTMCell(28, 28, forget_bias=1.0))
    assert trainer.model == SequenceModel(layer, 10, head_std=0.01)
    assert trainer.optimizer == RMSProp(0.001, 0.9, 0.0, 1e-10, False, "tf1")
    assert (trainer.batch_size, trainer.shuffle) == (128, False)
    assert (RunSettings().epochs, RunSettings().dtype) == (100, "float32")


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_every_cell_can_be_stacked_and_read_in_both_directions(cell):
    model = RunSettings(cell=cell, hidden_size=4, layers=2, bidirectional=True).trainer().model
    assert model.predict(model.init(0), np.zeros((2, 3, 28))).shape == (3, 10)


def test_settings_reach_the_cell_and_the_optimiser():
    settings = RunSettings(
        cell="lstm-cifg",
        forget_bias=2.5,
        recurrent_initializer="orthogonal",
        cell_options={"projection_size": 7},
        input_keep_prob=0.9,
        layers=2,
        optimizer="adam",
        learning_rate=0.01,
        beta1=0.8,
        path="unroll",
    )
    first = LSTMVariant.preset(
        "CIFG", 28, 28, forget_bias=2.5, recurrent_initializer="orthogonal", projection_size=7
    )
    cells = [first, replace(first, input_size=7)]
    layers = [Dropout(Recurrent(cell, "unroll"), 0.9) for cell in cells]
    trainer = settings.trainer()
    assert trainer.model == SequenceModel(Stack(layers), 10)
    assert trainer.optimizer == Adam(0.01, beta1=0.8)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_residual_connections_and_dropout_masks_go_together(bidirectional):
    settings = RunSettings(
        hidden_size=5, layers=3, bidirectional=bidirectional, residual=True,
        output_keep_prob=0.8, state_keep_prob=0.7, variational="sequence",
    )  # fmt: skip

    def layer(D):
        drop = lambda: Dropout(Recurrent(LSTMCell(D, 5)), 1.0, 0.8, 0.7, "sequence")  # noqa: E731
        return Bidirectional(drop(), drop()) if bidirectional else drop()

    H = 10 if bidirectional else 5
    expected = Stack([layer(28), Residual(layer(H)), Residual(layer(H))])
    model = settings.trainer().model
    assert model.layer == expected
    loss, _ = model.loss_and_grads(model.init(0), np.ones((2, 3, 28)), np.arange(3), rng=0)
    assert np.isfinite(loss)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", CELL_KINDS)
def test_settings_with_their_defaults_written_out_mean_the_same(cell, optimizer):
    rate = {"learning_rate": 0.1} if optimizer == "sgd" else {}
    settings = RunSettings(cell=cell, optimizer=optimizer, layers=2, bidirectional=True, **rate)
    resolved = settings.resolved()
    assert resolved.trainer() == settings.trainer()
    assert resolved.resolved() == resolved
    options = resolved.cell_options or {}
    for option in fields(settings.trainer().model.recurrent.cells[0]):
        written = option.name in options or getattr(resolved, option.name, None) is not None
        assert written != (option.name == "input_size")
    for option in fields(settings.trainer().optimizer):
        assert getattr(resolved, option.name) is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": True}, "residual adds inputs from the second layer on"),
        ({"variational": "batch"}, "variational = 'batch' needs something to drop"),
        ({"variational": "each", "input_keep_prob": 0.5}, "variational must be one of"),
        ({"threads": 0}, "threads must be a positive integer, got 0"),
        ({"cell": "rnn", "forget_bias": 1.0}, "RNNCell has no setting forget_bias"),
        ({"optimizer": "sgd"}, "SGD has no default for learning_rate"),
        ({"optimizer": "adam", "decay": 0.9}, "Adam has no setting decay"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
        ({"learning_rate": float("nan")}, "learning_rate must be"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"layers": -1}, "layers must be a positive integer, got -1"),
        ({"epochs": 0}, "epochs must be a positive integer, got 0"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"checkpoint_interval": 0}, "checkpoint_interval must be"),
        ({"cell": "transformer"}, "cell must be one of"),
        ({"dtype": "int32"}, "dtype must be one of 'float32', 'float64', got 'int32'"),
        ({"state_keep_prob": 0.0}, "state_keep_prob must be"),
    ],
)
def test_settings_out_of_range_are_refused_before_a_folder_is_made(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Run.create(RunSettings(**options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = Run.create(replace(SMALL, shuffle=True), tmp_path_factory.mktemp("runs") / "run")
    run.train()
    run.draw()
    return run


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_run_folder_holds_settings_history_model_and_pictures(finished):
    assert {path.name for path in finished.folder.iterdir()} == {
        *("config.json", "history.csv", "checkpoint.npz", "model.npz"),
        *("curves.png", "confusion.png", "mistakes.png", "gradients.png"),
    }
    config = json.loads((finished.folder / "config.json").read_text())
    assert RunSettings(**config["settings"]) == finished.settings
    with (finished.folder / "history.csv").open(newline="") as file:
        names, *rows = csv.reader(file)
    assert tuple(names) == Epoch._fields
    assert [tuple(map(float, row)) for row in rows] == [*finished.state.history]

    model, params = load_model(finished.folder / "model.npz")
    test = load_mnist().test
    data = Examples(row_sequences(test.images), test.labels)
    assert evaluate(model, params, data) == finished.state.history[-1][2:]


def test_same_seed_writes_the_same_files_to_the_last_byte(finished, tmp_path):
    run = Run.create(finished.settings, tmp_path / "again")
    run.train()
    mine, theirs = files(run.folder), files(finished.folder)
    assert all(mine[name] == theirs[name] for name in mine)


@pytest.mark.parametrize("stop_after", [1, 9, 10, 17, 29])
def test_an_interrupted_run_goes_on_to_the_same_files(finished, tmp_path, stop_after):
    run = Run.create(finished.settings, tmp_path / "run")

    def press_ctrl_c(state):
        if run.steps[0] == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(press_ctrl_c)
    again = Run.open(run.folder)
    assert again.steps == (stop_after, 30)
    assert same_state(again.state, run.state)
    again.train()
    mine, theirs = files(run.folder), files(finished.folder)
    assert all(mine[name] == theirs[name] for name in mine)


def test_a_finished_run_can_be_prolonged(finished, tmp_path):
    run = Run.create(replace(finished.settings, epochs=1), tmp_path / "run")
    run.train()
    longer = Run.open(run.folder, epochs=3)
    longer.train()
    mine, theirs = files(run.folder), files(finished.folder)
    assert all(mine[name] == theirs[name] for name in mine)


def test_a_run_cannot_be_shortened(finished):
    before = files(finished.folder)
    with pytest.raises(ValueError, match=r"epochs must be at least the 3 that .* has done, got 2"):
        Run.open(finished.folder, epochs=2)
    assert files(finished.folder) == before


def test_an_existing_folder_is_never_touched(finished):
    before = files(finished.folder)
    with pytest.raises(FileExistsError, match="exists already, and nothing is overwritten"):
        Run.create(SMALL, finished.folder)
    assert files(finished.folder) == before


def test_runs_begun_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [Run.create(SMALL) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Run.create(SMALL, tmp_path / "file" / "run")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, None])
def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, stop):
    run = Run.create(replace(SMALL, checkpoint_interval=2), tmp_path / "run")
    before = files(run.folder)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    def report(state):
        if stop:
            raise stop

    with pytest.raises(OSError, match="No space left on device"):
        run.train(report)
    assert files(run.folder) == before
    monkeypatch.undo()
    assert Run.open(run.folder).steps[0] == 0


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    run = Run.create(replace(SMALL, optimizer="sgd", learning_rate=3e38), tmp_path / "run")
    before = files(run.folder)
    with pytest.raises(FloatingPointError, match="at step"):
        run.train()
    assert files(run.folder) == before


def test_parameters_that_are_not_finite_are_never_saved(tmp_path):
    run = Run.create(SMALL, tmp_path / "run")
    before = files(run.folder)
    params = run.state.params | {"b": np.full_like(run.state.params["b"], np.inf)}
    run.state = replace(run.state, params=params)
    with pytest.raises(FloatingPointError, match="the parameters became infinite or NaN by step 0"):
        run.save()
    assert files(run.folder) == before


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", '{"settings": {"cells": 1}}', '{"settings": {"epochs": -1}}'],
)
def test_a_folder_with_other_settings_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json does not hold the settings of a run"):
        Run.open(tmp_path)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    run, other = (Run.create(replace(SMALL, hidden_size=H), tmp_path / str(H)) for H in (3, 5))
    (run.folder / "checkpoint.npz").write_bytes((other.folder / "checkpoint.npz").read_bytes())
    with pytest.raises(ValueError, match="does not belong to the settings"):
        Run.open(run.folder)


def test_a_run_keeps_its_settings_when_defaults_change(tmp_path, monkeypatch):
    run = Run.create(SMALL, tmp_path / "run")

    @dataclass(frozen=True)
    class Hasty(RMSProp):
        learning_rate: float = 0.5

    monkeypatch.setitem(OPTIMIZERS, "rmsprop", Hasty)
    monkeypatch.setitem(CELL_KINDS, "lstm", (LSTMCell, {"recurrent_initializer": "orthogonal"}))
    assert Run.create(SMALL, tmp_path / "other").trainer.optimizer.learning_rate == 0.5
    reopened = Run.open(run.folder).trainer
    assert reopened.optimizer.learning_rate == 0.001
    assert reopened.model == run.trainer.model


def test_a_folder_whose_settings_were_left_open_goes_on(finished, tmp_path):
    run = Run.create(finished.settings, tmp_path / "run")
    old = asdict(replace(SMALL, shuffle=True))
    del old["residual"], old["variational"]
    (run.folder / "config.json").write_text(json.dumps({"settings": old}))
    Run.open(run.folder).train()
    for name in ("config.json", "history.csv", "model.npz"):
        assert (run.folder / name).read_bytes() == (finished.folder / name).read_bytes()


def test_data_are_found_again_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RunSettings(data="mnist").data == str(tmp_path / "mnist")


# Gradient flow


def test_gradient_norms_agree_with_differences_of_the_loss():
    model = SequenceModel(LSTMCell(3, 4), 3)
    params, data = model.init(0), toy(6)
    flow = gradient_flow(model, params, data.xs, data.labels)
    assert flow.norms.keys() == {"h", "c"}
    assert flow.norms["h"].shape == (4, 6)

    # h_0 enters step 1 alone, so moving it is moving the initial state of the last three steps.
    layer, recurrent = model.recurrent, {k: params[k] for k in ("W_x", "W_h", "b")}
    _, state, _ = layer.forward(recurrent, data.xs[:1])

    def losses(part, unit, step):
        moved = state._replace(**{part: getattr(state, part) + step * np.eye(4)[unit]})
        outputs, _, _ = layer.forward(recurrent, data.xs[1:], moved)
        y = outputs[-1] @ params["W_y"] + params["b_y"]
        return np.log(np.exp(y).sum(axis=1)) - y[np.arange(6), data.labels]

    for part in ("h", "c"):
        slopes = [(losses(part, u, 1e-5) - losses(part, u, -1e-5)) / 2e-5 for u in range(4)]
        np.testing.assert_allclose(
            flow.norms[part][0], np.linalg.norm(slopes, axis=0), rtol=1e-7, atol=1e-12
        )


def test_gradient_flow_watches_every_cell_of_a_model():
    model = SequenceModel(all_kinds_of_layers(), 3)
    data = toy(6)
    flow = gradient_flow(model, model.init(0, np.float32), data.xs, data.labels)
    assert set(flow.norms) == {"0.h", "0.c", "0.r", "1.h", "2.h", "3.h", "3.c"}
    assert flow.quantiles("3.c").shape == (3, 4)
    # The head reads the last output alone, so that is where the gradient of h is its weights' own.
    y = model.predict(model.init(0, np.float32).copy(), data.xs.astype(np.float32))
    dy = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True) - np.eye(3)[data.labels]
    expected = np.linalg.norm(dy @ model.init(0)["W_y"].T, axis=1)
    np.testing.assert_allclose(flow.norms["3.h"][-1], expected, rtol=1e-5)
