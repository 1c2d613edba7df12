"""The studies: their networks are those of the papers, their results can be relied on."""

import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
import standin

from npylstm import backend
from npylstm.backend import DeviceStatus
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cli import main
from npylstm.data import tasks
from npylstm.data.tasks import Batch, temporal_order
from npylstm.experiments import (
    EXPERIMENTS,
    StudyResult,
    continual_reber,
    embedded_reber,
    online_1997,
    parity,
    success,
)
from npylstm.experiments.against_length import TEMPORAL_ORDER
from npylstm.experiments.blocks import BlockNet
from npylstm.sequence.unroll import unroll, unroll_backward
from npylstm.training.optimizers import Adam, clip_by_global_norm

BRIEF = {"max_updates": 10, "check_every": 5, "test_sequences": 20}
TINY = {
    "temporal-order": BRIEF | {"lengths": (10,)},
    "adding": BRIEF | {"lengths": (4,)},
    "copy": BRIEF | {"lengths": (3,)},
    "two-sequence": BRIEF | {"lengths": (5,)},
    "greff": BRIEF | {"lengths": (4,)},
    "temporal-order-1997": {"max_sequences": 200, "test_sequences": 10},
    "long-lag": {"max_sequences": 200, "test_sequences": 10},
    "adding-1997": {"max_sequences": 200, "test_sequences": 10},
    "embedded-reber": {"sets": 1, "max_strings": 10, "check_every": 5},
    "continual-reber": {
        "symbols": 400,
        "check_every": 200,
        "perfect": 100,
        "good": 50,
        "state_symbols": 1000,
    },
    "parity": BRIEF | {"T": 3},
    "forget-bias": {"T": 10, "max_updates": 50, "epochs": 1, "mnist_seeds": 2},
    "mnist-rows": {"epochs": 1},
    "lyapunov": {"hidden": 4, "sequences": 2, "lags": (5, 10)},
}
PUBLISHED_WEIGHTS = [
    (BlockNet(7, 7, 4, 1, biased="gates", output_bias=False), 264),  # 1997, experiment 1
    (BlockNet(7, 7, 3, 2, biased="gates", output_bias=False), 276),
    (BlockNet(54, 2, 2, 1, biased="none", output_bias=False), 364),  # 2c, p = 50
    (BlockNet(104, 2, 2, 1, biased="none", output_bias=False), 664),  # 2c, p = 100
    (BlockNet(1, 1, 3, 1, output_bias=False), 102),  # 3
    (BlockNet(2, 1, 2, 2), 93),  # 4
    (BlockNet(8, 4, 2, 2), 156),  # 6a
    (BlockNet(8, 8, 3, 2), 308),  # 6b
    (continual_reber.Network(forget_gates=True).net, 424),  # Gers et al. (2000), sec. 4
]


@pytest.mark.parametrize(("net", "weights"), PUBLISHED_WEIGHTS)
def test_networks_have_as_many_weights_as_published(net, weights):
    assert net.n_weights == weights


def network(forget_gates, gates_recur, S=3, T=7):
    """Return a network, its parameters, and inputs and errors for S sequences."""
    rng = np.random.default_rng(0)
    net = BlockNet(5, 3, 2, 2, forget_gates=forget_gates, gates_recur=gates_recur)
    params = net.init(rng, S, 0.5, {"i": [-1.0, -2.0]})
    return net, params, rng.normal(size=(T, S, 5)), rng.random((T, S, 3))


def general(net, params):
    """Return the same network as a cell of the package, with its parameters."""
    cell = LSTMVariant.preset(
        "HS97",
        net.inputs,
        net.blocks * net.cells,
        block_size=net.cells,
        forget_gate=net.forget_gates,
        gate_recurrence="all" if net.gates_recur else None,
    )
    D, N = net.inputs, net.blocks * net.cells

    def convert(W):
        gates = [W[..., k, :: net.cells] for k in range(W.shape[-2] - 1)]
        rows = np.concatenate([*gates, W[..., -1, :]], axis=-1)
        split = {"W_x": rows[:, :D], "W_h": rows[:, D : D + N], "b": rows[:, -1]}
        return split | ({"W_r": rows[:, D + N : -1]} if net.gates_recur else {})

    return cell, convert(params["W"]), convert


def general_gradients(net, params, xs, targets):
    """Return the gradient of half the squared error of all steps, from the package's own cell."""
    cell, variant, convert = general(net, params)
    outputs, _, tape = unroll(cell, variant, xs[:, :, None])
    seen, out = net.outputs_at(params, outputs[:, :, 0], xs)
    dout = (out - targets) * out * (1 - out)
    dy = np.einsum("tso,sno->tsn", dout, params["W_y"][:, : net.blocks * net.cells])
    _, _, grads = unroll_backward(cell, variant, tape, dy[:, :, None])
    return outputs[:, :, 0], seen, dout, grads, convert


def test_gradients_without_a_loop_are_those_of_the_general_cell():
    net, params, xs, targets = network(forget_gates=False, gates_recur=True)
    outputs, seen, dout, expected, convert = general_gradients(net, params, xs, targets)
    v, steps = net.forward(params, xs)
    np.testing.assert_allclose(steps.y, outputs, rtol=1e-12)
    grads = net.gradients(params, v, steps, seen, dout)
    for name, grad in convert(grads["W"]).items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(grads["W_y"][:, :4], np.einsum("tsn,tso->sno", outputs, dout))


@pytest.mark.parametrize(("forget_gates", "gates_recur"), [(True, False), (False, True)])
def test_gradients_carried_forward_are_those_of_the_general_cell(forget_gates, gates_recur):
    net, params, xs, targets = network(forget_gates, gates_recur)
    *_, expected, convert = general_gradients(net, params, xs, targets)
    rate = np.full(3, 1e-7)  # so small that all steps see the same weights
    before = {name: w.copy() for name, w in params.items()}
    state = net.fresh(params)
    for x, target in zip(xs, targets, strict=True):
        net.learn_step(params, state, x, target, rate)
    moved = convert((before["W"] - params["W"]) / 1e-7)
    for name, grad in expected.items():
        np.testing.assert_allclose(moved[name], grad, rtol=1e-4, atol=1e-6)


def test_the_copies_of_a_gate_stay_equal_and_absent_weights_stay_zero():
    net = BlockNet(7, 7, 4, 2, forget_gates=True, gates_recur=False, biased="gates")
    rng = np.random.default_rng(0)
    params = net.init(rng, 2, 0.2, {})
    state = net.fresh(params)
    for _ in range(20):
        net.learn_step(params, state, rng.random((2, 7)), rng.random((2, 7)), np.full(2, 0.5))
    gates = params["W"][..., :-1, :]
    assert np.array_equal(gates[..., ::2], gates[..., 1::2])
    assert not params["W"][:, -1, -1].any()
    assert not params["W_y"][:, 8:15].any()


def first_value(rng, size):
    """Draw a task that one unit can do: the target is the first input."""
    xs = rng.integers(0, 2, (2, *size, 1)).astype(float)
    return Batch(xs, xs[0], np.full(size, 2))


def test_online_learning_stops_with_each_network_that_has_learnt():
    problem = online_1997.Problem(
        BlockNet(1, 1, 1, 1), first_value, 0.5, 0.1, tolerance=0.4, window=200
    )
    params, sequences, curve = online_1997.learn(problem, 3, cap=20_000, seed=0)
    assert np.isfinite(sequences).all()
    assert len(curve) == sequences.max() / online_1997.CHUNK
    for k, n in enumerate(sequences):
        assert np.isnan(curve[int(n) // online_1997.CHUNK :, k]).all()
    errors = [
        online_1997.test_errors(problem, params, k, 500, np.random.default_rng(1)) for k in range(3)
    ]
    assert np.max(errors) < 0.4


def test_online_learning_gives_up_at_the_cap():
    problem = online_1997.Problem(BlockNet(1, 1, 1, 1), first_value, 1e-6, 0.1, tolerance=0.4)
    _, sequences, curve = online_1997.learn(problem, 2, cap=300, seed=0)
    assert np.isnan(sequences).all()
    assert curve.shape == (3, 2)


EASY = success.LengthTask(
    draw=lambda rng, T, size: temporal_order(rng, T, size)._replace(
        targets=np.zeros(size, np.int64)
    ),
    inputs=6,
    outputs=2,
    wrong=success.wrong_class,
)


HOW = {name: value for name, value in success.SETTINGS.items() if name != "cells"}


def test_an_easy_task_counts_as_solved_and_a_hopeless_one_does_not():
    how = HOW | {"seeds": 3, "max_updates": 60, "check_every": 20}
    assert np.isin(success.updates_to_solve(EASY, "GRU", 10, **how), [20, 40]).all()
    hopeless = replace(EASY, wrong=lambda y, batch: np.ones(y.shape[:-1], bool))
    assert np.isnan(success.updates_to_solve(hopeless, "GRU", 10, **how)).all()


def test_networks_trained_together_become_what_each_becomes_alone():
    fixed = EASY.draw(np.random.default_rng(0), 10, 4)
    together, one = (
        Batch(np.stack([fixed.xs] * n, 1), np.stack([fixed.targets] * n), None) for n in (2, 1)
    )
    never = replace(
        EASY,
        draw=lambda rng, T, size: together if size[0] == 2 else one,
        wrong=lambda y, batch: np.ones(y.shape[:-1], bool),
    )
    how = HOW | {"seeds": 2, "max_updates": 4, "check_every": 4, "max_norm": 0.01}
    model, params, _ = success.train(never, "GRU", 10, **how)
    rng = np.random.default_rng([how["seed"], 10])
    for k, alone in enumerate([model.init(rng, np.float32) for _ in range(2)]):
        optimizer = Adam(how["learning_rate"])
        slots = optimizer.init(alone)
        for _ in range(4):
            _, grads = model.loss_and_grads(alone, fixed.xs, fixed.targets)
            grads, _ = clip_by_global_norm(grads, how["max_norm"])
            alone, slots = optimizer.update(alone, grads, slots)
        for key, array in alone.items():
            np.testing.assert_allclose(params[key][k], array, rtol=1e-4, atol=1e-6)


def test_networks_that_exploded_are_not_trained_on():
    drawn = []
    counting = replace(EASY, draw=lambda *given: drawn.append(1) or EASY.draw(*given))
    how = HOW | {"seeds": 2, "max_updates": 40, "check_every": 20, "learning_rate": 1e30}
    success.updates_to_solve(counting, "IRNN", 10, **how)
    assert len(drawn) == 1 + 20  # the test sequences, and a batch for each update


def test_networks_that_explode_fail_without_a_warning():
    how = HOW | {"seeds": 2, "max_updates": 40, "check_every": 20, "learning_rate": 1e30}
    assert np.isnan(success.updates_to_solve(EASY, "IRNN", 10, **how)).all()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("remember", lambda seen: seen[0]), ("compute", lambda seen: sum(seen) % 2)],
)
def test_bits_are_marked_at_the_first_and_asked_for_at_every_step(kind, answer):
    xs, targets, _ = parity.bits(kind, np.random.default_rng(0), 6, (2, 10))
    drawn = xs[..., 1].astype(int)
    assert (xs[..., 0] == 1 - drawn).all()
    assert (xs[0, ..., 2] == 1).all()
    assert not xs[1:, ..., 2].any()
    for network, sequence in np.ndindex(2, 10):
        bits = drawn[:, network, sequence].tolist()
        expected = [answer(bits[: t + 1]) for t in range(6)]
        assert targets[:, network, sequence].tolist() == expected


def test_a_sequence_of_bits_is_wrong_if_one_answer_is():
    batch = parity.bits("compute", np.random.default_rng(0), 6, (1, 3))
    y = np.eye(2)[batch.targets]
    y[2, 0, 1] = y[2, 0, 1, ::-1].copy()
    assert parity.wrong_anywhere(y, batch).tolist() == [[False, True, False]]


def test_reber_sets_have_no_string_in_common():
    train, test = embedded_reber.string_sets(np.random.default_rng(0), n=50)
    known = {train.xs[:, k].tobytes() for k in range(50)}
    new = {test.xs[:, k].tobytes() for k in range(50)}
    assert len(new) == 50
    assert not known & new


def test_mistakes_counts_the_strings_with_an_illegal_symbol_on_top_somewhere():
    net, strings = embedded_reber.NET, tasks.embedded_reber(0, 30)
    params = net.init(np.random.default_rng(0), 2, 2.0, {})
    expected = np.zeros((2, 2))
    for k, length in enumerate(strings.lengths):
        xs = np.stack([strings.xs[:length, k]] * 2, axis=1)
        _, steps = net.forward(params, xs)
        _, out = net.outputs_at(params, steps.y, xs)
        for network in range(2):
            ranked = np.argsort(-out[:, network], axis=-1)
            legal = strings.legal[:length, k]
            orders = list(zip(ranked, legal, strict=True))
            expected[0, network] += any(
                set(order[: may.sum()]) != set(np.flatnonzero(may)) for order, may in orders
            )
            expected[1, network] += any(not may[order[0]] for order, may in orders)
    assert np.array_equal(embedded_reber.mistakes(params, strings), expected)


def test_an_external_reset_makes_every_string_of_a_stream_a_first_one():
    variant = continual_reber.VARIANTS["standard, external reset"]
    params = variant.net.init(np.random.default_rng(0), 2, 1.0, {})
    grammar = tasks.EmbeddedReber(0, (2, 1))
    first = []
    for _, step in continual_reber.run(variant, params, grammar, 60):
        starts = grammar.state[:, 0] == 1
        first += [(k, tuple(step.c[k, 0])) for k in np.flatnonzero(starts)]
    assert len(first) > 4
    assert len(set(first)) == 2  # one for each network


def test_every_study_is_tried_here():
    assert TINY.keys() == EXPERIMENTS.keys()


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory):
    """Return a folder in the format of MNIST with 128 random pictures to train on, 10 to test."""
    folder = tmp_path_factory.mktemp("mnist")
    rng = np.random.default_rng(0)
    for part, n in ("train", 5128), ("t10k", 10):  # the first 5,000 are set aside
        images = rng.integers(0, 256, (n, 28, 28), np.uint8).tobytes()
        labels = rng.integers(0, 10, n, np.uint8).tobytes()
        header = struct.pack(">IIII", 0x803, n, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + labels)
    return str(folder)


@pytest.fixture(scope="module", params=EXPERIMENTS)
def tiny(request, few_digits, tmp_path_factory):
    """Return a study with the smallest settings that make sense, its result and its folder."""
    experiment = EXPERIMENTS[request.param]
    data = few_digits if "data" in experiment.full else None
    experiment = replace(experiment, fast={**experiment.fast, **TINY[request.param]})
    folder = tmp_path_factory.mktemp("out")
    return experiment, experiment.perform(folder, seeds=1, data=data), folder


def test_every_study_runs_and_says_what_was_published_and_what_is_different(tiny):
    experiment, result, _ = tiny
    table = " ".join(result.table().split())
    assert experiment.title in table
    assert f"Published: {experiment.published}" in table
    assert all(f"Deviation: {deviation}" in table for deviation in result.deviations)
    assert "seeds 1" in table
    assert all(row.keys() == result.rows[0].keys() for row in result.rows)


def test_every_study_leaves_its_table_its_facts_its_curves_and_its_figure(tiny):
    experiment, result, folder = tiny
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{experiment.name}.{ending}" for ending in ("csv", "json", "npz", "png")}
    again = StudyResult.load(folder, experiment.name)
    assert again.table() == result.table()
    assert again.curves.keys() == result.curves.keys()
    assert all(np.array_equal(again.curves[k], a, True) for k, a in result.curves.items())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_study_can_be_made_of_networks_whose_gradients_are_exactly_zero(
    name, few_digits, dead_networks, tmp_path
):
    study = EXPERIMENTS[name]
    data = few_digits if "data" in study.full else None
    tiny = replace(study, fast={**study.fast, **TINY[name]})
    assert tiny.perform(tmp_path, seeds=2, data=data).verdict
    assert len(list(tmp_path.iterdir())) == 4


def test_every_study_can_be_read(tiny, assert_legible):
    study, result, _ = tiny
    assert max(map(len, study.report(result).splitlines())) <= 80
    assert_legible(study.figure(result))


def test_a_result_is_never_overwritten(tiny):
    experiment, _, folder = tiny
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="exists already"):
        experiment.perform(folder, seeds=2)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_seeds_below_one_and_data_that_nobody_reads_are_refused():
    with pytest.raises(ValueError, match="seeds must be a positive integer, got 0"):
        EXPERIMENTS["adding"].run(seeds=0)
    with pytest.raises(ValueError, match=r"data must be None for adding, .* got 'mnist'"):
        EXPERIMENTS["adding"].run(data="mnist")


def test_a_device_that_a_study_has_no_use_for_is_refused():
    with pytest.raises(ValueError, match="device must be 'cpu' or 'auto' for lyapunov"):
        EXPERIMENTS["lyapunov"].settings(device="gpu")
    assert EXPERIMENTS["lyapunov"].settings(device="auto") == EXPERIMENTS["lyapunov"].settings()


GPU_STUDIES = [name for name, e in EXPERIMENTS.items() if "device" in e.full]


@pytest.mark.parametrize("name", GPU_STUDIES)
def test_on_a_device_a_study_finds_the_same(name, few_digits, monkeypatch):
    """The stand-in refuses to mix with NumPy, so every array must have been moved."""
    monkeypatch.setitem(sys.modules, "cupy", standin)
    usable = DeviceStatus("gpu", True, "a stand-in")
    monkeypatch.setattr(backend, "available_devices", lambda: {"gpu": usable})
    experiment = EXPERIMENTS[name]
    tiny = replace(experiment, fast={**experiment.fast, **TINY[name]})
    data = few_digits if "data" in experiment.full else None
    here = tiny.run(seeds=2, data=data)
    reads = standin.host_reads
    there = tiny.run(seeds=2, data=data, device="gpu")
    assert standin.host_reads > reads
    assert there.settings == here.settings | {"device": "gpu"}
    assert here.curves.keys() == there.curves.keys()
    for curve, values in there.curves.items():
        np.testing.assert_allclose(values, here.curves[curve], rtol=1e-6, err_msg=curve)


SWEEP = {
    "lengths": (10,),
    "cells": ("tanh RNN, glorot", "LSTM, forget bias 1"),
    "seeds": 2,
    "max_updates": 20,
    "check_every": 10,
}
COMMAND = replace(TEMPORAL_ORDER, fast=SWEEP)


def assert_same_as_here(there):
    here = COMMAND.run()
    assert here.rows == there.rows
    assert all(np.array_equal(here.curves[k], a, True) for k, a in there.curves.items())


def test_processes_find_the_same(monkeypatch, tmp_path):
    monkeypatch.setitem(EXPERIMENTS, "temporal-order", COMMAND)
    main(["experiment", "temporal-order", "--workers", "2", "--out", str(tmp_path)])
    assert_same_as_here(StudyResult.load(tmp_path, "temporal-order"))


def test_a_dask_cluster_finds_the_same():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert_same_as_here(COMMAND.run(executor=client.get_executor()))


@pytest.mark.slow
def test_temporal_order_of_1997_is_learnt_as_fast_as_published():
    (row,) = EXPERIMENTS["temporal-order-1997"].run(full=True).rows
    assert int(row["solved"].partition("/")[0]) >= 18
    assert 15_000 <= row["mean of the solvers"] <= 45_000
