import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import npylstm
from npylstm import cells, cli, explain
from npylstm.cells import Cell, GRUCell, LSTMCell, LSTMVariant, RNNCell, RNNState
from npylstm.data import load_mnist
from npylstm.exercises.mistakes import MISTAKES
from npylstm.explain import equations, source
from npylstm.explain.document import Page, assemble
from npylstm.models import SequenceModel
from npylstm.sequence import Bidirectional, Dropout, Residual, Stack
from npylstm.training import Run, RunSettings

ROOT = Path(npylstm.__file__).parent
ASSETS = ("script.js", "style.css", "template.html")
rng = np.random.default_rng(0)


def numbers(page):
    return json.loads(re.search(r'id="numbers">(.*?)</script>', page.html, re.S)[1])


def page_of(layer, T=7, B=2, dtype=np.float64, targets=None, every_step=False, loss=None, **more):
    """Explain a model with random weights and inputs."""
    loss = loss or "cross_entropy"
    model = SequenceModel(layer, 3, loss=loss, every_step=every_step, head_std=0.5)
    params = model.init(1, dtype)
    params = {name: a + rng.normal(0, 0.1, a.shape).astype(dtype) for name, a in params.items()}
    xs = rng.standard_normal((T, B, model.recurrent.input_size)).astype(dtype)
    if targets is None:
        targets = rng.integers(0, 3, (T, B) if every_step else B)
        if loss == "mean_squared_error":
            targets = rng.standard_normal((*targets.shape, 3)).astype(dtype)
    return explain.page(model, params, xs, targets, **more)


# ------------------------------------------------------------------ the JSON, computed anew


def sigma(z):
    return 1 / (1 + np.exp(-z))


def lstm_anew(p, xs, doutputs):
    """An LSTM of one sequence written with rows of gates, and its gradients by the chain rule."""
    T, H = doutputs.shape
    h, c = np.zeros((T + 1, H)), np.zeros((T + 1, H))
    gate = {name: np.zeros((T, H)) for name in "ifog"}
    for t in range(T):
        z = xs[t] @ p["W_x"] + h[t] @ p["W_h"] + p["b"]
        for k, name in enumerate("ifog"):
            part = z[k * H : (k + 1) * H]
            gate[name][t] = np.tanh(part) if name == "g" else sigma(part)
        c[t + 1] = gate["f"][t] * c[t] + gate["i"][t] * gate["g"][t]
        h[t + 1] = gate["o"][t] * np.tanh(c[t + 1])
    i, f, o, g = (gate[name] for name in "ifog")
    dz, dh, dc = np.zeros((T, 4 * H)), np.zeros((T, H)), np.zeros((T, H))
    for t in reversed(range(T)):
        later = (dz[t + 1], dc[t + 1] * f[t + 1]) if t + 1 < T else (np.zeros(4 * H), np.zeros(H))
        dh[t] = doutputs[t] + p["W_h"] @ later[0]
        dc[t] = later[1] + dh[t] * o[t] / np.cosh(c[t + 1]) ** 2
        dz[t] = np.concatenate(
            [
                dc[t] * g[t] * i[t] * (1 - i[t]),
                dc[t] * c[t] * f[t] * (1 - f[t]),
                dh[t] * np.tanh(c[t + 1]) * o[t] * (1 - o[t]),
                dc[t] * i[t] * (1 - g[t] ** 2),
            ]
        )
    dgates = {name: dz[:, k * H : (k + 1) * H] for k, name in enumerate("ifog")}
    return gate, {"h": h, "c": c}, {"h": dh, "c": dc}, dgates, dz @ p["W_x"].T


def rnn_anew(p, xs, doutputs):
    T, H = doutputs.shape
    h, dz, dh = np.zeros((T + 1, H)), np.zeros((T, H)), np.zeros((T, H))
    for t in range(T):
        h[t + 1] = np.tanh(xs[t] @ p["W_x"] + h[t] @ p["W_h"] + p["b"])
    for t in reversed(range(T)):
        dh[t] = doutputs[t] + (p["W_h"] @ dz[t + 1] if t + 1 < T else 0)
        dz[t] = dh[t] * (1 - h[t + 1] ** 2)
    return {"h": h[1:]}, {"h": h}, {"h": dh}, {"h": dz}, dz @ p["W_x"].T


def gru_anew(p, xs, doutputs):
    """A GRU with its reset gate before or after the product, as its parameters say."""
    T, H = doutputs.shape
    h = np.zeros((T + 1, H))
    r, u, n, dr, du, dn, dh = np.zeros((7, T, H))
    Wr, Wu, Wn = np.split(p["W_h"], 3, axis=1)
    after = "b_h" in p
    for t in range(T):
        a_r, a_u, a_n = np.split(xs[t] @ p["W_x"] + p["b"], 3)
        r[t], u[t] = sigma(a_r + h[t] @ Wr), sigma(a_u + h[t] @ Wu)
        n[t] = np.tanh(a_n + (r[t] * (h[t] @ Wn + p["b_h"]) if after else (r[t] * h[t]) @ Wn))
        h[t + 1] = u[t] * h[t] + (1 - u[t]) * n[t]
    carried = np.zeros(H)
    for t in reversed(range(T)):
        dh[t] = doutputs[t] + carried
        dn[t] = dh[t] * (1 - u[t]) * (1 - n[t] ** 2)
        du[t] = dh[t] * (h[t] - n[t]) * u[t] * (1 - u[t])
        slope = r[t] * (1 - r[t])
        dr[t] = dn[t] * (h[t] @ Wn + p["b_h"]) * slope if after else (Wn @ dn[t]) * h[t] * slope
        back = Wn @ (dn[t] * r[t]) if after else r[t] * (Wn @ dn[t])
        carried = dh[t] * u[t] + Wr @ dr[t] + Wu @ du[t] + back
    dz = np.concatenate([dr, du, dn], axis=1)
    gates, dgates = {"r": r, "u": u, "n": n}, {"r": dr, "u": du, "n": dn}
    return gates, {"h": h}, {"h": dh}, dgates, dz @ p["W_x"].T


def loss_anew(N, h):
    """The loss from the head alone, and what it injects at each step."""
    W, b = np.array(N["head"]["W_y"]), np.array(N["head"]["b_y"])
    y = h[1:] @ W + b if N["every_step"] else h[-1:] @ W + b
    targets = np.atleast_1d(N["targets"])
    if N["loss_function"] == "mean_squared_error":
        targets = targets.reshape(y.shape)
        loss, dy = ((y - targets) ** 2).sum(), 2 * (y - targets)
    else:
        p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), targets]).sum()
        dy = p - np.eye(len(b))[targets]
    steps = len(y)
    injected = np.zeros((len(h) - 1, W.shape[0]))
    injected[-steps:] = dy @ W.T / steps
    return loss / steps, injected


ANEW = {"LSTMCell": lstm_anew, "RNNCell": rnn_anew, "GRUCell": gru_anew}


def check_anew(N, head=True):
    params = {name: np.array(a) for name, a in N["params"].items()}
    anew = ANEW[N["cell"]]
    if head:  # from parameters and inputs alone: the loss, then what it injects
        T, H = np.shape(N["doutputs"])
        h = anew(params, np.array(N["xs"]), np.zeros((T, H)))[1]["h"]
        loss, injected = loss_anew(N, h)
        assert N["loss"] == pytest.approx(loss, abs=1e-6)
        np.testing.assert_allclose(N["doutputs"], injected, atol=1e-6)
    results = anew(params, np.array(N["xs"]), np.array(N["doutputs"]))
    for key, wanted in zip(("gates", "states", "dstates", "dgates"), results, strict=False):
        assert N[key].keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_allclose(N[key][name], array, rtol=1e-6, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(N["dxs"], results[4], atol=1e-6)


CELLS = {
    "lstm": LSTMCell(4, 5),
    "rnn": RNNCell(4, 5),
    "gru": GRUCell(4, 5),
    "gru-reset-after": GRUCell(4, 5, reset_after=True),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_another_implementation_gets_all_numbers_of_the_page(cell, dtype):
    check_anew(numbers(page_of(cell, dtype=dtype)))


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("every_step", [False, True])
def test_every_loss_is_the_sequence_s_own(loss, every_step):
    check_anew(numbers(page_of(LSTMCell(4, 5), loss=loss, every_step=every_step, sequence=1)))


@pytest.mark.parametrize("case", [(1, 1, 1), (1, 3, 4), (9, 1, 1), (40, 2, 3)])
def test_one_step_one_input_and_one_unit_are_enough(case):
    T, D, H = case
    for kind in (LSTMCell, RNNCell, GRUCell):
        check_anew(numbers(page_of(kind(D, H), T=T)))


def test_padding_is_cut_off_whatever_stands_in_it():
    model = SequenceModel(LSTMCell(4, 5), 3)
    params, xs = model.init(0), rng.standard_normal((6, 2, 4))
    alone = explain.page(model, params, xs[:3, 1:], np.array([2]))
    xs[3:, 1] = np.nan
    page = explain.page(model, params, xs, np.array([0, 2]), lengths=[6, 3], sequence=1)
    assert numbers(page) == numbers(alone)


def test_a_float32_parameter_is_written_with_every_bit():
    N = numbers(page_of(LSTMCell(4, 5), dtype=np.float32))
    assert all(np.float32(x) == x for x in np.ravel(N["params"]["W_x"]))


@pytest.mark.parametrize("cell", [0, 1, -1])
def test_in_a_stack_the_page_shows_the_cell_that_is_asked_for(cell):
    N = numbers(page_of(Stack([GRUCell(4, 6), LSTMCell(6, 5)]), cell=cell))
    assert N["cell"] == ("GRUCell" if cell == 0 else "LSTMCell")
    check_anew(N, head=cell != 0)


@pytest.mark.parametrize(
    "layer",
    [
        Bidirectional(LSTMCell(4, 5), LSTMCell(4, 5)),
        Residual(LSTMCell(4, 4)),
        Dropout(LSTMCell(4, 5), 0.5, 0.5, 0.5),
    ],
    ids=["bidirectional", "residual", "dropout"],
)
def test_any_layer_around_a_cell_can_be_explained(layer):
    check_anew(numbers(page_of(layer)), head=False)


def test_a_gradient_that_vanishes_below_the_smallest_number_is_shown_as_it_is():
    model = SequenceModel(RNNCell(1, 2), 2)
    params = model.init(0) | {"W_h": np.full((2, 2), 0.05)}
    N = numbers(explain.page(model, params, np.ones((400, 1, 1)), np.array([0])))
    norms = np.array(N["norms"]["dh"])
    assert norms[0] == 0
    assert norms[-1] > 1e-3
    assert ((norms > 0) & (norms < 1e-300)).any()


# ------------------------------------------------------------------ what a page tells beside


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_what_if_is_the_same_network_with_another_bias(cell):
    N = numbers(page_of(cell))
    if N["what_if"] is None:
        assert N["cell"] == "RNNCell"
        return
    assert [case["bias"] for case in N["what_if"]["cases"]] == list(np.arange(-2, 5.5, 0.5))
    T, H = np.shape(N["doutputs"])
    for case in N["what_if"]["cases"][::5]:
        params = {name: np.array(a) for name, a in N["params"].items()}
        params["b"][H : 2 * H] += case["bias"] - N["what_if"]["start"]
        anew, xs = ANEW[N["cell"]], np.array(N["xs"])
        loss, injected = loss_anew(N, anew(params, xs, np.zeros((T, H)))[1]["h"])
        dstates = anew(params, xs, injected)[2]
        assert case["loss"] == pytest.approx(loss)
        for name, d in dstates.items():
            np.testing.assert_allclose(case["norms"][f"d{name}"], np.linalg.norm(d, axis=1))
    (own,) = (case for case in N["what_if"]["cases"] if case["bias"] == N["what_if"]["start"])
    np.testing.assert_allclose(own["gate"], np.mean(N["gates"][N["what_if"]["gate"]], axis=1))


def test_what_is_left_out_of_the_lstm_is_what_the_page_says():
    N = numbers(page_of(LSTMCell(4, 5)))
    gates, states = ({n: np.array(a) for n, a in N[key].items()} for key in ("gates", "states"))
    f, o, tanh_c = gates["f"], gates["o"], np.tanh(states["c"][1:])
    for name, broken in N["broken"].items():
        v = {n: np.array(a) for n, a in broken["values"].items()}
        carry = np.vstack([v["dc_prev"][1:], np.zeros(5)]) if name != "carry" else 0
        slope = 1 if name == "slope" else 1 - tanh_c**2
        np.testing.assert_allclose(v["dc"], carry + v["dh"] * o * slope, atol=1e-11)
        np.testing.assert_allclose(
            v["dc_prev"], v["dc"] * (1 if name == "factor" else f), atol=1e-11
        )
        assert not np.allclose(v["dz_i"][0], N["dgates"]["i"][0], rtol=1e-3)
    assert set(N["broken"]) == {"carry", "factor", "slope"}


def test_the_mistakes_are_those_that_the_exercises_know():
    known = [mistake.edits.items() for mistake in MISTAKES["lstm_cell_backward"]]
    for mistake in equations.explanation(LSTMCell(3, 4)).mistakes:
        before, after = f"dc_prev = {mistake.old}", f"dc_prev = {mistake.new}"
        assert any(
            len(edits) == 1 and all(before.replace(old, new) == after for old, new in edits)
            for edits in known
        ), mistake


# ------------------------------------------------------------------ equations and lines of code

EXPLAINED = {
    **CELLS,
    "relu": RNNCell(4, 5, activation="relu"),
    "elu": RNNCell(4, 5, activation="elu:1"),
    "identity": RNNCell(4, 5, activation="identity"),
    "gru of 1997": GRUCell(4, 5, activation="logistic_g", gate_activation="hard_sigmoid:0.2:0.5"),
}


@pytest.mark.parametrize("cell", EXPLAINED.values(), ids=EXPLAINED)
def test_every_cell_with_equations_has_them_all(cell):
    N = numbers(page_of(cell))
    rows = [row for row in equations.explanation(cell).rows if row.place]
    assert list(N["equations"]) == [row.name for row in rows]
    for name in (*N["gates"], *N["states"], *(f"dz_{gate}" for gate in cell.gates)):
        assert name in N["equations"]


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_line_is_in_the_source_where_the_page_says(cell):
    for name, equation in numbers(page_of(cell))["equations"].items():
        code = equation["code"]
        text = (ROOT.parent / code["file"]).read_text("utf-8").splitlines()
        lines = code["text"].splitlines()
        there = text[code["line"] - 1 : code["line"] - 1 + len(lines)]
        assert [line.strip() for line in there] == [line.strip() for line in lines], name


def test_the_lines_of_the_lstm_are_those_of_the_derivation():
    N = numbers(page_of(LSTMCell(4, 5)))
    for name, text in {
        "c": "c = f * c_prev + i * g",
        "h": "h = o * tanh_c",
        "dc": "dc = dc + dh * o * (1 - tanh_c**2)",
        "df": "di, df, dg = dc * g, dc * c_prev, dc * i",
    }.items():
        assert N["equations"][name]["code"]["text"] == text


def test_a_line_that_is_gone_or_ambiguous_fails():
    with pytest.raises(LookupError, match="tanh_h must be assigned once"):
        source.line_of(LSTMCell, "forward tanh_h")
    with pytest.raises(LookupError, match="is 2 times"):
        source.line_of(LSTMCell, "backward dc")
    with pytest.raises(LookupError, match="must occur once"):
        source.with_mistake(LSTMCell(3, 4), "dc * q", "dc")


# ------------------------------------------------------------------ cells without equations


class OwnCell(Cell):
    """A cell of a user's: h = h_prev / 2 + tanh(z) / 2, with nothing but what `Cell` asks for."""

    gates = ("a",)

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size

    @property
    def param_shapes(self):
        D, H = self.input_size, self.hidden_size
        return {"W_x": (D, H), "W_h": (H, H), "b": (H,)}

    @property
    def state_sizes(self):
        return RNNState(self.hidden_size)

    def init(self, rng=None, dtype=np.float64):
        rng = np.random.default_rng(rng)
        shapes = self.param_shapes.items()
        return {name: rng.normal(0, 0.3, shape).astype(dtype) for name, shape in shapes}

    def forward(self, params, x, state):
        a = np.tanh(x @ params["W_x"] + state.h @ params["W_h"] + params["b"][..., None, :])
        return RNNState(state.h / 2 + a / 2), (x, state.h, a)

    def backward(self, params, cache, dstate):
        x, h_prev, a = cache
        dz = dstate.h / 2 * (1 - a**2)
        swap = lambda m: m.swapaxes(-1, -2)  # noqa: E731
        grads = {"W_x": swap(x) @ dz, "W_h": swap(h_prev) @ dz, "b": dz.sum(axis=-2)}
        dh_prev = dstate.h / 2 + dz @ swap(params["W_h"])
        return dz @ swap(params["W_x"]), RNNState(dh_prev), grads


OTHERS = {
    "peepholes": LSTMVariant(4, 6, peepholes=True),
    "projection": LSTMVariant(4, 6, projection_size=2),
    "blocks": LSTMVariant(4, 6, block_size=2, gate_recurrence="all"),
    "a user's": OwnCell(4, 5),
    **{
        name: kind(4, 6)
        for name, kind in vars(cells).items()
        if isinstance(kind, type) and issubclass(kind, Cell) and kind is not Cell
        if kind not in equations.EXPLAINED
    },
}


@pytest.mark.parametrize("cell", OTHERS.values(), ids=OTHERS)
def test_any_other_cell_is_shown_without_equations(cell):
    N = numbers(page_of(cell))
    assert not N["equations"]
    assert "def forward" in N["code"][0]["text"]
    assert set(N["dgates"]) == set(cell.gates)
    assert np.isfinite(N["dstates"]["h"]).all()


def test_a_subclass_that_computes_something_else_gets_no_equations_of_its_parent():
    class Leaky(LSTMCell):
        def forward(self, params, x, state):
            state, cache = super().forward(params, x, state)
            return state._replace(h=state.h / 2), cache

    assert not numbers(page_of(Leaky(4, 5)))["equations"]


# ------------------------------------------------------------------ what is refused


def refusal(match, kind=ValueError, params=None, **more):
    model = SequenceModel(LSTMCell(4, 5), 3)
    given = {"xs": rng.standard_normal((6, 2, 4)), "targets": np.array([0, 2])} | more
    with pytest.raises(kind, match=match):
        explain.page(model, model.init(0) | (params or {}), **given)


def test_what_cannot_be_explained_is_refused_in_one_sentence():
    xs = rng.standard_normal((6, 2, 4))
    refusal("xs must be finite, got NaN or infinity, first at", xs=np.where(xs > 0, xs, np.nan))
    refusal(r"params\['b'\] must be finite", params={"b": np.full(20, np.inf)})
    refusal("must hold real floating-point", TypeError, params={"b": np.zeros(20, complex)})
    refusal("xs must be real and have shape", xs=xs[None])
    refusal("xs must be real and have shape", xs=xs[:0])
    refusal("xs must hold floating-point", TypeError, xs=xs.astype(int))
    refusal(r"targets must be an array \(B,\) or \(B, K\) with B = 2", targets=np.zeros(3, int))
    refusal("targets must be an array", targets=[0, 2])
    refusal("labels must be between 0 and K - 1", targets=np.array([3, 0]))
    refusal("sequence must be 0 to 1, got 2", sequence=2)
    refusal("cell must be -1 to 0, got 1", cell=1)
    refusal("lengths must be 1 at least for sequence 0", lengths=[0, 6])
    refusal("lengths must be 2 integers", lengths=[7, 6])
    with pytest.raises(TypeError, match="params must be a dict of arrays, got NoneType"):
        explain.page(SequenceModel(LSTMCell(4, 5), 3), None, xs, np.array([0, 2]))
    with pytest.raises(TypeError, match="model must be a SequenceModel, got LSTMCell"):
        explain.page(LSTMCell(4, 5), {}, xs, np.array([0, 2]))


def test_a_page_too_large_for_a_browser_is_refused():
    model = SequenceModel(LSTMCell(1, 300), 2)
    with pytest.raises(ValueError, match="must make a page of at most 4,000,000 numbers"):
        explain.page(model, model.init(0), np.zeros((784, 1, 1)), np.array([0]))


def test_a_network_that_explodes_is_refused():
    model = SequenceModel(RNNCell(1, 2, activation="identity"), 2)
    params = model.init(0) | {"W_h": np.full((2, 2), 1e50)}
    with pytest.raises(ValueError, match=r"the network's .* must be finite"):
        explain.page(model, params, np.ones((20, 1, 1)), np.array([0]))


# ------------------------------------------------------------------ files


def test_a_page_for_28_units_on_a_digit_stays_under_3_megabytes():
    page = page_of(LSTMCell(28, 28), T=28, dtype=np.float32)
    assert len(page.html.encode()) < 3e6


def test_a_file_is_never_overwritten(tmp_path):
    page = page_of(RNNCell(2, 2))
    assert page.save(tmp_path / "a.html").read_text("utf-8") == page.html
    with pytest.raises(FileExistsError, match=r"a\.html exists already"):
        page.save(tmp_path / "a.html")


def test_a_notebook_shows_the_page_and_how_to_keep_it():
    html = page_of(RNNCell(2, 2))._repr_html_()
    assert html.startswith("<iframe srcdoc=")
    assert '.save("page.html")' in html


def test_no_text_in_the_numbers_can_end_the_script_and_no_number_is_none():
    html = assemble({"cell": "</script><b>"})
    assert "</script><b>" not in html
    assert json.loads(re.search(r'id="numbers">(.*?)</script>', html, re.S)[1]) == {
        "cell": "</script><b>"
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        assemble({"loss": float("nan")})


def test_a_notebook_shows_the_page_as_one_escaped_attribute():
    shown = Page('<p title="x">')._repr_html_()
    assert 'srcdoc="&lt;p title=&quot;x&quot;&gt;"' in shown


def test_script_style_and_template_stay_short_enough_to_be_read():
    lines = [(ROOT / "explain" / f).read_text("utf-8").count("\n") for f in ASSETS]
    assert sum(lines) < 600


def test_every_word_is_there_in_both_languages():
    words = json.loads((ROOT / "explain" / "words.json").read_text("utf-8"))
    for key, (english, chinese) in words.items():
        placeholders = [set(re.findall(r"\{\w+\}", text)) for text in (english, chinese)]
        assert placeholders[0] == placeholders[1], key


# ------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    settings = RunSettings(epochs=1, hidden_size=6, batch_size=1000)
    Run.create(settings, folder).train()
    return folder


def test_a_run_is_explained_beside_an_rnn_trained_alike(run, tmp_path, capsys):
    before = sorted(path.stat().st_mtime_ns for path in run.iterdir())
    out = tmp_path / "page.html"
    assert cli.main(["explain", str(run), "--digit", "3", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    N = numbers(explain.Page(out.read_text("utf-8")))
    check_anew(N)
    assert N["rnn"]["trained"]
    assert np.shape(N["gates"]["i"]) == (28, 6)
    digits = load_mnist().test
    assert N["targets"] == digits.labels[3]
    np.testing.assert_allclose(N["xs"], digits.images[3] / 255, rtol=1e-6)
    assert before == sorted(path.stat().st_mtime_ns for path in run.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-folder"], "RUN must be the folder of a run"),
        (["."], "RUN must be the folder of a run"),
        (["--digit", "2000"], "digit must be 0 to 1999, got 2000"),
        (["--digit", "-1"], "digit must be 0 to 1999, got -1"),
        (["--out", "taken.html"], "--out: taken.html exists already"),
        (["--out", "nowhere/page.html"], "--out must name a file in a folder that exists"),
    ],
)
def test_bad_input_is_answered_with_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.html").write_text("mine")
    with pytest.raises(SystemExit) as end:
        cli.main(["explain", *arguments])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert (tmp_path / "taken.html").read_text() == "mine"


def test_options_of_the_cell_alone_do_not_reach_the_rnn_beside_it(run):
    plan = explain.RunPage(run)
    plan.settings = replace(plan.settings, cell_options={"peepholes": True})
    assert numbers(plan.make())["rnn"]["trained"]


def test_an_rnn_that_diverges_is_shown_untrained(run, monkeypatch):
    plan = explain.RunPage(run)

    def diverge(*_arguments):
        raise FloatingPointError("the loss became nan at step 1")

    monkeypatch.setattr(plan, "_train", diverge)
    assert not numbers(plan.make())["rnn"]["trained"]


def test_a_run_that_is_not_finished_is_told_how_to_go_on(tmp_path):
    Run.create(RunSettings(epochs=1, hidden_size=2), tmp_path / "begun")
    with pytest.raises(ValueError, match=r"no model\.npz yet; .* npylstm train --resume"):
        explain.RunPage(tmp_path / "begun")


# ------------------------------------------------------------------ in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ALLOWED = {"σ": lambda z: 1 / (1 + math.exp(-z)), "tanh": math.tanh, "max": max}


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page without network; whatever it asks for or complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_offline(True)
    complaints, requests = [], []

    def open_page(page, width=1280):
        file = page.save(tmp_path / "page.html")
        tab = context.new_page()
        tab.set_viewport_size({"width": width, "height": 900})
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(file.as_uri())
        requests.remove(file.as_uri())
        return tab

    yield open_page
    context.close()
    assert not complaints
    assert not requests


SHOWN = """() => [...document.querySelectorAll("[data-name]")].map(e =>
    ({...e.dataset, text: e.textContent}))"""
EQUATIONS = """() => [...new Set([...document.querySelectorAll("[data-node]")].map(e =>
    e.dataset.node))].map(node => { go({node}); return [node,
    document.querySelector("#with-numbers").textContent,
    document.querySelector("#code").textContent]; })"""


def reference(N):
    """All numbers by name as (T, H), from the other implementation where it has them."""
    params = {name: np.array(a) for name, a in N["params"].items()}
    results = ANEW[N["cell"]](params, np.array(N["xs"]), np.array(N["doutputs"]))
    gates, states, dstates, dgates, _ = results
    known = {name: np.array(a) for name, a in N["values"].items()} | gates
    for name, a in states.items():
        known |= {name: a[1:], f"{name}_prev": a[:-1], f"d{name}": dstates[name]}
        later = np.vstack([N["values"][f"d{name}_prev"][1:], np.zeros(a.shape[1])])
        known[f"d{name}_next"] = later
    return known | {f"dz_{name}": a for name, a in dgates.items()} | {"doutput": N["doutputs"]}


def agrees(text, value):
    """Whether a number is what is shown, to the digits shown."""
    shown = float(text)
    if shown == 0:
        return abs(value) < 1e-12
    unit = 10.0 ** (math.floor(math.log10(abs(shown))) - 3)
    return abs(shown - value) <= 0.5001 * unit + 1e-11


def check_shown(tab, known):
    """Check every number and every equation on the page as it stands; return the names."""
    shown = tab.evaluate(SHOWN)
    for number in shown:
        assert number["text"] == number["value"]
        array = known[number["name"]]
        assert agrees(
            number["text"], array[min(int(number["t"]), len(array) - 1)][int(number["unit"])]
        ), number
    for node, text, code in tab.evaluate(EQUATIONS):
        assert code or node == "doutput", node
        if text:
            left, right = text.replace("×", "*").replace("−", "-").split(" = ")
            assert agrees(right, eval(left, {"__builtins__": {}}, ALLOWED)), (node, text)
    return {number["name"] for number in shown}


def walk_everywhere(tab, N):
    known, names = reference(N), set()
    H = len(N["doutputs"][0])
    for back in (False, True):
        if tab.get_attribute("#direction", "aria-pressed") != str(back).lower():
            tab.keyboard.press("b")
        for key in ("Home", "End"):
            tab.keyboard.press(key)
            for unit in {0, H // 2, H - 1}:
                tab.fill("#unit", str(unit))
                tab.evaluate("document.activeElement.blur()")
                names |= check_shown(tab, known)
    return names


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_number_shown_is_right_and_every_equation_comes_out(cell, opened):
    page = page_of(cell, B=1)
    names = walk_everywhere(opened(page), numbers(page))
    wanted = {"h", "h_prev", "dh", "dh_prev", *cell.gates, *(f"dz_{gate}" for gate in cell.gates)}
    if isinstance(cell, LSTMCell):
        wanted |= {"c", "c_prev", "dc", "dc_prev", "z_f", "df"}
    assert wanted <= names


def test_every_number_of_a_run_is_right_in_the_browser(run, opened):
    page = explain.RunPage(run, digit=1).make()
    walk_everywhere(opened(page), numbers(page))


def test_a_broken_backward_pass_marks_what_goes_wrong(opened):
    page = page_of(LSTMCell(4, 5))
    tab, N = opened(page), numbers(page)
    tab.select_option("#break select", "factor")
    tab.evaluate("go({t: 0, unit: 2})")
    wrong = {n["name"]: n for n in tab.evaluate(SHOWN) if "broken" in n}
    assert agrees(wrong["dc"]["text"], N["broken"]["factor"]["values"]["dc"][0][2])
    assert not agrees(wrong["dc"]["text"], N["dstates"]["c"][0][2])
    for _node, text, _code in tab.evaluate(EQUATIONS):
        if text:
            left, right = text.replace("×", "*").replace("−", "-").split(" = ")
            assert agrees(right, eval(left, {"__builtins__": {}}, ALLOWED)), text
    tab.select_option("#break select", "")
    assert not any("broken" in number for number in tab.evaluate(SHOWN))


def test_keys_buttons_clicks_and_languages_do_what_they_say(opened):
    tab = opened(page_of(GRUCell(4, 5), T=6), width=390)
    step = lambda: tab.text_content("#t-text")  # noqa: E731
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    assert step() == "1 / 5"
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    assert step() == "0 / 5"
    tab.click("[data-map='h'] canvas")
    assert step() == "3 / 5"
    assert tab.text_content("#unit-text") == "2 / 4"
    tab.keyboard.press("Home")
    tab.click("#play")
    tab.wait_for_function("document.querySelector('#t-text').textContent === '5 / 5'")
    tab.focus("#drawing [data-node='u']")
    tab.keyboard.press("Enter")
    assert tab.text_content("#symbols").startswith("u = σ(z_u)")
    curve = tab.inner_html("#curve svg")
    tab.fill("#what-if input", "14")
    assert tab.inner_html("#curve svg") != curve
    tab.click("#language")
    assert tab.get_attribute("html", "lang") == "zh"
    assert "门 u" in tab.text_content("#what-if")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    nameless = """() => [...document.querySelectorAll("button, input, select, [role]")].filter(e =>
        !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label")?.textContent))
        .map(e => e.outerHTML)"""
    assert not tab.evaluate(nameless)


@pytest.mark.parametrize("cell", [*OTHERS.values(), LSTMCell(1, 1)], ids=[*OTHERS, "one unit"])
def test_strangers_pages_open_and_turn_without_complaint(cell, opened):
    tab = opened(page_of(cell, T=1 if cell.hidden_size == 1 else 7))
    for key in ("Home", "b", "ArrowRight", "End", "ArrowDown", "b"):
        tab.keyboard.press(key)
    assert tab.evaluate(SHOWN)
    assert "undefined" not in tab.text_content("main")
    assert "NaN" not in tab.text_content("main")
