import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from properties import random_params

from npylstm.analysis.numerical import (
    THRESHOLDS,
    GradientReport,
    Row,
    check_layer,
    check_model,
    gradient_check,
)
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.rnn import RNNCell, RNNState
from npylstm.models.model import SequenceModel
from npylstm.sequence.layers import Bidirectional, Stack
from npylstm.sequence.unroll import unroll, unroll_backward
from npylstm.sequence.wrappers import Dropout, Residual

BOTH = pytest.mark.parametrize("method", ["complex", "central"])


def verdicts(report):
    return {row.block: row.verdict for row in report.rows}


# ------------------------------------------------------------------ functions known by heart


def cubes(params):
    return (params["a"] ** 3).sum() + (params["b"] * params["a"][0]).sum()


def point():
    params = {"a": np.array([1.0, -2.0, 0.5]), "b": np.array([[3.0, 4.0]])}
    grads = {
        "a": 3 * params["a"] ** 2 + np.array([7.0, 0, 0]),
        "b": np.full((1, 2), params["a"][0]),
    }
    return params, grads


@BOTH
def test_a_right_gradient_passes(method):
    report = gradient_check(cubes, *point(), method=method)
    assert report.ok
    assert [(row.block, row.size, row.every_entry) for row in report.rows] == [
        ("a", 3, True),
        ("b", 2, True),
    ]
    assert all(row.errors[method] < THRESHOLDS[method] for row in report.rows)


@BOTH
@pytest.mark.parametrize("mistake", [1e-5, 0.1, -2.0, 1e9, np.nan, np.inf])
def test_one_wrong_entry_is_found_and_only_its_block_is_blamed(method, mistake):
    params, grads = point()
    grads["a"][1] += mistake * grads["a"][1]
    report = gradient_check(cubes, params, grads, method=method)
    assert not report.ok
    assert verdicts(report) == {"a": "WRONG", "b": "ok"}


def test_the_complex_step_finds_a_mistake_of_a_billionth():
    params, grads = point()
    grads["a"] *= 1 + 1e-9
    report = gradient_check(cubes, params, grads)
    assert report.rows[0].errors["complex"] == pytest.approx(1e-9, rel=0.3)
    assert not report.ok


@BOTH
def test_one_wrong_entry_among_many_is_found_along_random_directions(method):
    params = {"W": np.random.default_rng(0).standard_normal((60, 50))}
    grads = {"W": 4 * params["W"] ** 3}
    loss = lambda p: (p["W"] ** 4).sum()  # noqa: E731
    report = gradient_check(loss, params, grads, method=method)
    assert report.ok
    assert not report.rows[0].every_entry
    grads["W"][31, 7] *= 1.01
    assert not gradient_check(loss, params, grads, method=method).ok


@BOTH
def test_a_missing_gradient_is_found(method):
    params, grads = point()
    grads["b"] *= 0
    assert not gradient_check(cubes, params, grads, method=method).ok


@BOTH
def test_a_loss_that_is_no_number_confirms_nothing(method):
    params, grads = point()
    report = gradient_check(lambda p: np.nan * cubes(p), params, grads, method=method)
    assert set(verdicts(report).values()) == {"WRONG"}


@BOTH
def test_a_parameter_that_has_no_effect_has_no_gradient(method):
    params = {"used": np.array([1.0, 2.0]), "unused": np.ones(3)}
    loss = lambda p: (p["used"] ** 2).sum()  # noqa: E731
    grads = {"used": 2 * params["used"], "unused": np.zeros(3)}
    assert gradient_check(loss, params, grads, method=method).ok
    grads["unused"][1] = 1e-6
    assert not gradient_check(loss, params, grads, method=method).ok


def test_differences_step_around_kinks_and_bends():
    """A kink 1e-4 away, and a function that bends a thousand times faster than usual."""
    params = {"kink": np.array([1e-4, -1e-4, 1.0]), "bend": np.array([0.3])}
    loss = lambda p: np.where(p["kink"] > 0, p["kink"], 0).sum() + np.sin(1000 * p["bend"]).sum()  # noqa: E731
    grads = {"kink": np.array([1.0, 0, 1]), "bend": 1000 * np.cos(1000 * params["bend"])}
    report = gradient_check(loss, params, grads, method="central")
    assert report.ok, report


def test_neither_arguments_nor_global_random_state_are_touched():
    params, grads = point()
    for array in (*params.values(), *grads.values()):
        array.flags.writeable = False
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    gradient_check(cubes, params, grads)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_same_seed_gives_the_same_report():
    cell = LSTMCell(3, 5)  # W_h[i] is checked along random directions
    reports = [check_layer(cell, T=2, max_entries=20, rng=5) for _ in range(2)]
    assert str(reports[0]) == str(reports[1])


# ------------------------------------------------------------------ vanished gradients


def vanishing():
    """A loss at the last of 60 steps, whose gradient at the initial state is about 1e-70."""
    cell, rng = RNNCell(2, 3), np.random.default_rng(0)
    params = {name: 0.05 * array for name, array in random_params(cell, rng).items()}
    xs, h0, dh = (rng.standard_normal(shape) for shape in ((60, 2, 2), (2, 3), (2, 3)))

    def loss(point):
        own = {name: point[name] for name in params}
        _, state, _ = unroll(cell, own, xs, RNNState(point["h0"]))
        return (state.h * dh).sum()

    _, _, tape = unroll(cell, params, xs, RNNState(h0))
    _, dstate0, grads = unroll_backward(cell, params, tape, None, RNNState(dh))
    assert 0 < np.abs(dstate0.h).max() < 1e-60
    return loss, {**params, "h0": h0}, {**grads, "h0": dstate0.h}


def test_a_vanished_gradient_is_checked_as_sharply_as_any_other():
    loss, params, grads = vanishing()
    report = gradient_check(loss, params, grads)
    assert report.ok, report
    row = report.rows[-1]
    assert row.errors["complex"] < 1e-14
    assert np.isnan(row.errors["central"]), "differences can't see it"


@pytest.mark.parametrize("factor", [1 + 1e-9, 2.0, -1.0, 0.0, 1e50])
def test_a_mistake_in_a_vanished_gradient_is_found(factor):
    loss, params, grads = vanishing()
    grads["h0"] = factor * grads["h0"]
    assert verdicts(gradient_check(loss, params, grads))["h0"] == "WRONG"


def test_differences_alone_do_not_confirm_what_they_cannot_see():
    report = gradient_check(*vanishing(), method="central")
    assert verdicts(report)["h0"] == "can't tell"
    assert not report.ok


# ------------------------------------------------------------------ mistakes in a cell


@dataclasses.dataclass(frozen=True)
class Mistaken(LSTMCell):
    """An LSTM whose backward pass has one of the mistakes that people make."""

    mistake: str = "none"

    def backward(self, params, cache, dstate):
        x, h_prev, c_prev, i, f, o, g, tanh_c = cache
        if self.mistake == "c carries no gradient":
            dstate = LSTMState(dstate.h, 0 * dstate.c)
        if self.mistake == "tanh(c) squared is missing":
            cache = (*cache[:7], 0 * tanh_c)
        if self.mistake == "c for c_prev":
            cache = (x, h_prev, f * c_prev + i * g, i, f, o, g, tanh_c)
        if self.mistake == "i and f exchanged":
            cache = (x, h_prev, c_prev, f, i, o, g, tanh_c)
        dx, dstate_prev, grads = super().backward(params, cache, dstate)
        if self.mistake == "mean over the batch":
            grads = {name: grad / len(x) for name, grad in grads.items()}
        if self.mistake == "f left out of the carry":
            dstate_prev = dstate_prev._replace(c=dstate_prev.c / f)
        if self.mistake == "h gets no gradient":
            dstate_prev = dstate_prev._replace(h=0 * dstate_prev.h)
        if self.mistake == "bias of the forget gate":
            grads["b"][self.gate_columns["f"]] = 0
        return dx, dstate_prev, grads


def test_the_cell_without_a_mistake_passes():
    assert check_layer(Mistaken(3, 4)).ok


@BOTH
@pytest.mark.parametrize(
    "mistake",
    [
        "c carries no gradient",
        "tanh(c) squared is missing",
        "c for c_prev",
        "i and f exchanged",
        "mean over the batch",
        "f left out of the carry",
        "h gets no gradient",
        "bias of the forget gate",
    ],
)
def test_a_mistake_in_a_cells_backward_pass_is_found(mistake, method):
    assert not check_layer(Mistaken(3, 4, mistake=mistake), method=method).ok


def test_the_report_names_the_gate_that_is_wrong():
    report = check_layer(Mistaken(3, 4, mistake="bias of the forget gate"))
    assert [row.block for row in report.rows if row.verdict != "ok"] == ["b[f]"]


def test_a_mistake_deep_inside_a_model_is_found():
    layer = Stack([LSTMCell(3, 4), Residual(Mistaken(4, 4, mistake="c carries no gradient"))])
    report = check_model(SequenceModel(layer, 2), method="complex", max_entries=12)
    assert not report.ok
    assert verdicts(report)["W_y"] == "ok"


# ------------------------------------------------------------------ what is checked


def test_a_cell_is_checked_by_gate_with_its_inputs_and_initial_state():
    gates = [f"{name}[{gate}]" for name in ("W_x", "W_h", "b") for gate in "ifog"]
    report = check_layer(LSTMCell(3, 4))
    assert [row.block for row in report.rows] == [*gates, "xs", "state0.h", "state0.c"]
    assert [row.size for row in report.rows][:12] == [12] * 4 + [16] * 4 + [4] * 4


def test_gates_are_found_inside_any_layer():
    layer = Dropout(Bidirectional(Stack([Residual(LSTMCell(3, 3))]), RNNCell(3, 2)), 0.9)
    blocks = [row.block for row in check_layer(layer, method="complex").rows]
    assert "forward.0.W_h[o]" in blocks
    assert "backward.W_h" in blocks
    assert "state0.0.0.c" in blocks


def test_a_bare_cell_is_checked_in_its_own_step_and_not_in_a_fused_kernel(monkeypatch):
    right = RNNCell.backward
    monkeypatch.setattr(
        RNNCell, "backward", lambda *given: (2 * right(*given)[0], *right(*given)[1:])
    )
    assert verdicts(check_layer(RNNCell(2, 2)))["xs"] == "WRONG"


def test_blocks_larger_than_max_entries_are_checked_along_directions():
    rows = check_layer(RNNCell(3, 4), method="complex", max_entries=12).rows
    assert {row.block: row.every_entry for row in rows} == {
        "W_x": True, "W_h": False, "b": True, "xs": False, "state0.h": True
    }  # fmt: skip


def test_a_layer_outside_the_package_is_checked_too():
    class Halved(Residual):
        def forward(self, *arguments, **options):
            outputs, state, tape = super().forward(*arguments, **options)
            return outputs / 2, state, tape

        def backward(self, params, tape, doutputs=None, dstate=None):
            return super().backward(
                params, tape, None if doutputs is None else doutputs / 2, dstate
            )

    assert check_layer(Halved(LSTMCell(3, 3))).ok


# ------------------------------------------------------------------ the report


def test_the_report_reads_as_a_table():
    rows = (
        Row("W_x[f]", 12, True, {"complex": 1.5e-16, "central": 2e-10}),
        Row("W_h", 784, False, {"complex": 3e-3, "central": 3e-3}),
        Row("b", 4, True, {"complex": 2e-16, "central": float("nan")}),
    )
    assert str(GradientReport(rows)).splitlines() == [
        "block   entries checked       complex  central  verdict",
        "W_x[f]  all 12                1.5e-16  2.0e-10  ok",
        "W_h     10 directions in 784  3.0e-03  3.0e-03  WRONG",
        "b       all 4                 2.0e-16  unseen   ok",
    ]


def test_a_report_is_ok_when_every_row_is():
    right = Row("a", 1, True, {"complex": 9e-13})
    assert GradientReport((right,)).ok
    for errors in {"complex": 2e-12}, {"central": 2e-7}, {"complex": 0.0, "central": 1e-3}:
        assert not GradientReport((right, Row("b", 1, True, errors))).ok


# ------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "forward"}, ValueError, "method must be one of"),
        ({"max_entries": 0}, ValueError, "max_entries must be a positive integer, got 0"),
        ({"grads": {"a": np.ones(3)}}, ValueError, r"grads must have the keys \['a', 'b'\]"),
        ({"params": {}, "grads": {}}, ValueError, "params must hold at least one"),
        (
            {"grads": {"a": np.ones(3), "b": np.ones(2)}},
            ValueError,
            r"grads\['b'\] must have shape \(1, 2\), got \(2,\)",
        ),
        (
            {"params": {"a": np.ones(3, np.float32), "b": np.ones((1, 2))}},
            TypeError,
            r"params\['a'\] must be an array of float64, got float32",
        ),
        ({"grads": {"a": [1.0], "b": 0}}, TypeError, r"grads\['a'\] must be .* got list"),
        ({"loss": lambda p: p["a"]}, ValueError, r"loss must return a scalar, got .* \(3,\)"),
        ({"loss": lambda p: p["a"].real.sum()}, TypeError, "loss must be complex .*central"),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    params, grads = point()
    arguments = {"loss": cubes, "params": params, "grads": grads} | change
    with pytest.raises(error, match=message):
        gradient_check(**arguments)


@pytest.mark.parametrize("change", [{"T": 0}, {"B": 0}])
def test_a_sequence_needs_steps_and_a_batch(change):
    name = next(iter(change))
    for check, part in (
        (check_layer, LSTMCell(2, 2)),
        (check_model, SequenceModel(RNNCell(2, 2), 2)),
    ):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
            check(part, **change)


# ------------------------------------------------------------------ any form, little memory


def test_one_array_a_number_a_list_and_a_tuple_are_checked_like_a_dict():
    w = np.array([1.0, -2.0, 0.5])
    assert gradient_check(lambda a: (a**3).sum(), w, 3 * w**2).ok
    assert not gradient_check(lambda a: (a**3).sum(), w, 3 * w).ok
    assert gradient_check(lambda x: x**3, 2.0, 12.0).ok
    for form in (list, tuple):
        both = form([w, np.ones((2, 2))])

        def loss(given, form=form):
            assert type(given) is form
            return (given[0] ** 2).sum() * given[1].sum()

        report = gradient_check(loss, both, form([2 * w * 4, np.full((2, 2), (w**2).sum())]))
        assert report.ok
        assert [row.block for row in report.rows] == ["0", "1"]
    state = LSTMState(w, 2 * w)
    assert gradient_check(lambda s: (s.h * s.c).sum(), state, LSTMState(2 * w, w)).ok


def test_a_loss_of_another_library_is_checked_by_differences():
    torch = pytest.importorskip("torch")
    w = np.array([1.0, -2.0, 0.5])
    loss = lambda a: torch.tensor(a).sin().sum()  # noqa: E731
    assert gradient_check(loss, w, np.cos(w), method="central").ok


def test_a_loss_that_can_not_take_complex_numbers_says_so():
    with pytest.raises(TypeError, match=r"loss must take complex parameters.*method='central'"):
        gradient_check(lambda x: math.sin(x), 1.0, math.cos(1.0))


def test_a_loss_may_write_into_what_it_is_given():
    w = np.array([1.0, 2.0])

    def loss(a):
        a *= a
        return a.sum()

    assert gradient_check(loss, w, 2 * w).ok
    np.testing.assert_array_equal(w, [1.0, 2.0])


def peak(function):
    """The most memory that NumPy's arrays took while the function ran, in bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_a_few_copies_of_the_parameters():
    W = np.random.default_rng(0).standard_normal((200, 300))
    assert peak(lambda: gradient_check(lambda w: (w**2).sum(), W, 2 * W)) < 12 * W.nbytes
    cell = LSTMCell(64, 256)
    size = sum(a.nbytes for a in cell.init(0).values())
    assert peak(lambda: check_layer(cell, T=2, B=1, method="complex")) < 20 * size


@pytest.mark.parametrize(
    ("wrap", "name"),
    [(lambda a: a, "params"), (lambda a: [a], r"params\[0\]")],
    ids=["one", "list"],
)
def test_an_error_names_the_array_as_its_caller_does(wrap, name):
    single = wrap(np.ones(3, np.float32))
    with pytest.raises(TypeError, match=f"^{name} must be an array of float64, got float32"):
        gradient_check(lambda a: 0.0, single, single)


def test_a_large_block_takes_the_runs_that_the_docstring_says():
    runs = []

    def loss(w):
        runs.append(0)
        return (w * w).sum()

    w = np.linspace(1, 2, 1000)
    assert gradient_check(loss, w, 2 * w).ok
    assert len(runs) == 91
    assert "91 runs" in gradient_check.__doc__
