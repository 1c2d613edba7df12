import math
from dataclasses import replace

import numpy as np
import pytest
import reference_loops as loops

from npylstm.analysis.numerical import check_layer, gradient_check
from npylstm.cells.base import map_state
from npylstm.cells.chrono_bias import chrono
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.lstm_variant import PRESETS, LSTMVariant, RecurrentGatesState
from npylstm.cells.rnn import RNNCell
from npylstm.sequence.layers import Bidirectional, Stack
from npylstm.sequence.unroll import unroll, unroll_backward
from npylstm.sequence.wrappers import Dropout

D, H, T, B = 2, 4, 4, 3
GREFF = ["V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR"]

OPTIONS = {
    "peepholes": {"peepholes": True},
    "projection": {"projection_size": 2},
    "cell-clip": {"cell_clip": 0.5},
    "projection-clip": {"projection_size": 2, "projection_clip": 0.2},
    "relu": {"output_activation": "relu", "input_activation": "relu"},
    "1997-squashing": {"input_activation": "logistic_g", "output_activation": "logistic_h"},
    "preactivation-clip": {"preactivation_clip": 0.6, "peepholes": True},
    "gate-activation": {"gate_activation": "hard_sigmoid:0.2:0.5", "peepholes": True},
    "odd-gates": {"gate_activation": "softsign", "input_activation": "leaky_relu:0.1"},
    "clipped-blocks-recur": {
        "preactivation_clip": 0.6,
        "gate_activation": "softplus",
        "block_size": 2,
        "gate_recurrence": "all",
    },
    "clipped-coupled": {"preactivation_clip": 0.6, "coupled": True, "gate_activation": "elu:1"},
    "blocks": {"block_size": 2},
    "blocks-peepholes": {"block_size": 2, "peepholes": True},
    "all-recur": {"gate_recurrence": "all"},
    "no-gates": {"input_gate": False, "forget_gate": False, "output_gate": False},
    "HS97-untruncated": PRESETS["HS97"] | {"truncated": False},
    **{name: PRESETS[name] for name in GREFF},
}


def random_options(seed):
    """A random composition of options, with at least one gate."""
    rng = np.random.default_rng(seed)

    def coin(probability=0.5):
        return bool(rng.random() < probability)

    activations = ["tanh", "relu", "identity", "logistic", "logistic_g", "logistic_h"]
    coupled = coin(0.3)
    options = {
        "peepholes": coin(),
        "coupled": coupled,
        "input_gate": coupled or coin(0.7),
        "forget_gate": coupled or coin(0.7),
        "output_gate": coin(0.7),
        "input_activation": str(rng.choice(activations)),
        "output_activation": str(rng.choice(activations)),
        "cell_clip": 0.8 if coin(0.3) else None,
        "projection_size": 3 if coin() else None,
        "gate_recurrence": [None, "gates", "all"][rng.integers(3)],
        "block_size": int(rng.choice([1, 2, 4])),
    }
    if not (options["input_gate"] or options["forget_gate"]):
        options["output_gate"] = True
    if options["projection_size"] and coin():
        options["projection_clip"] = 0.5
    return options


COMPOSITIONS = [random_options(seed) for seed in range(40)]


def random_case(cell, rng, B=B, axis=()):
    """Parameters, inputs, initial state, and gradients of outputs and final state; none is zero."""
    params = {
        name: rng.normal(0, 0.7, (*axis, *shape)) for name, shape in cell.param_shapes.items()
    }
    xs = rng.standard_normal((T, *axis, B, cell.input_size))
    state0 = map_state(lambda size: rng.normal(0, 0.5, (*axis, B, size)), cell.state_sizes)
    doutputs = rng.standard_normal((T, *axis, B, cell.output_size))
    dstate = map_state(lambda a: rng.standard_normal(a.shape), state0)
    return params, xs, state0, doutputs, dstate


def run(cell, params, xs, state0, doutputs, dstate, lengths=None):
    """Everything that a forward and a backward pass return, by name."""
    outputs, state, tape = unroll(cell, params, xs, state0, lengths)
    dxs, dstate0, grads = unroll_backward(cell, params, tape, doutputs, dstate)
    states = {f"state.{field}": a for field, a in state._asdict().items()}
    dstates0 = {f"dstate0.{field}": a for field, a in dstate0._asdict().items()}
    return {"outputs": outputs, "dxs": dxs, **states, **dstates0, **grads}


def grads_of(cell, results):
    return {name: results[name] for name in cell.param_shapes}


def assert_close(got, expected, tolerance=1e-12):
    for name in expected:
        a, b = np.asarray(got[name]), np.asarray(expected[name])
        assert a.shape == b.shape, name
        assert np.abs(a - b).max() <= tolerance * np.linalg.norm(b), name


# Against numerical gradients


@pytest.mark.parametrize("lengths", [None, [4, 2, 0]], ids=["full", "lengths"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_of_each_option_are_the_numerical_ones(options, lengths):
    # The complex step looks at a single point; differences would straddle the kinks of relu.
    kinks = "relu" in str(options) or "hard" in str(options) or "preactivation_clip" in options
    method = "complex" if kinks else "both"
    cell = LSTMVariant(D, H, **options)
    report = check_layer(cell, T, B, lengths, method, max_entries=12, rng=1)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize("options", COMPOSITIONS)
def test_gradients_of_random_compositions_are_the_numerical_ones(options):
    report = check_layer(LSTMVariant(D, H, **options), T, B, [4, 2, 0], "complex", 12, rng=1)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize(
    "layer",
    [
        Stack([LSTMVariant.preset("FGR", D, H), LSTMVariant(H, H, projection_size=2)]),
        Bidirectional(
            LSTMVariant.preset("HS97", D, H, truncated=False), LSTMVariant(D, 2, coupled=True)
        ),
        Dropout(LSTMVariant(D, H, projection_size=2, peepholes=True), 0.7, 0.7, 0.7),
    ],
    ids=["stack", "bidirectional", "dropout"],
)
def test_variants_run_in_layers(layer):
    report = check_layer(layer, T, B, [4, 2, 1], "complex", max_entries=12)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize("options", [PRESETS["HS97"], *map(random_options, range(20))])
def test_truncated_gradient_takes_h_prev_and_the_recurrent_gates_as_constants(options):
    cell = LSTMVariant(D, H, **(options | {"truncated": True, "peepholes": False}))
    params, xs, state0, doutputs, dstate = random_case(cell, np.random.default_rng(2))
    results = run(cell, params, xs, state0, doutputs, dstate)
    states = [state0]
    for x in xs:
        states.append(cell.forward(params, x, states[-1])[0])

    def loss(point):
        c, total = point["c0"], 0
        for t in range(T):
            own = {name: point[name] for name in params}
            state, _ = cell.forward(own, point["xs"][t], states[t]._replace(c=c))
            c, total = state.c, total + (state.h * doutputs[t]).sum()
        return total + sum((a * da).sum() for a, da in zip(state, dstate, strict=True))

    report = gradient_check(
        loss,
        params | {"xs": xs, "c0": state0.c},
        grads_of(cell, results) | {"xs": results["dxs"], "c0": results["dstate0.c"]},
        method="complex",
        max_entries=12,
    )
    assert report.ok, f"\n{report}"
    assert not results["dstate0.h"].any()
    assert cell.gate_recurrence is None or not results["dstate0.r"].any()


# Against published equations, in loops over single units


def greff_weights(params, gates):
    """The cell's parameters as `reference_loops.greff_step` takes them; Greff's z is g here."""
    w = {}
    for k, gate in enumerate(gates):
        unit, own = gate.replace("g", "z"), slice(k * H, (k + 1) * H)
        w["W" + unit] = params["W_x"][:, own].T.tolist()
        w["R" + unit] = params["W_h"][:, own].T.tolist()
        w["b" + unit] = params["b"][own].tolist()
        if f"p_{gate}" in params:
            w["p" + unit] = params[f"p_{gate}"].tolist()
        if "W_r" in params and gate != "g":
            for m, source in enumerate("ifo"):
                rows = slice(m * H, (m + 1) * H)
                w["R" + source + unit] = params["W_r"][rows, own].T.tolist()
    return w


def greff_trace(w, variant, xs, state0):
    h, c, *r = (part.tolist() for part in state0)
    trace = [{"y": h, "c": c}]
    if r:
        trace[0] |= {"i": r[0][:H], "f": r[0][H : 2 * H], "o": r[0][2 * H :]}
    for x in xs.tolist():
        trace.append(loops.greff_step(w, x, trace[-1], variant))
    return trace


@pytest.mark.parametrize("variant", GREFF)
def test_greff_variants_equal_loops_over_single_units(variant):
    cell = LSTMVariant.preset(variant, D, H)
    params, xs, state0, doutputs, dstate = random_case(cell, np.random.default_rng(3), B=1)
    results = run(cell, params, xs, state0, doutputs, dstate)
    first = map_state(lambda a: a[0], state0)

    def unit_by_unit(point):
        trace = greff_trace(greff_weights(point, cell.gates), variant, xs[:, 0], first)[1:]
        last = [trace[-1]["y"], trace[-1]["c"]]
        last += [[*trace[-1]["i"], *trace[-1]["f"], *trace[-1]["o"]]] if variant == "FGR" else []
        return np.array([step["y"] for step in trace]), [np.array(part) for part in last]

    def loss(point):
        outputs, state = unit_by_unit(point)
        parts = zip(state, dstate, strict=True)
        return (outputs * doutputs[:, 0]).sum() + sum((a * da[0]).sum() for a, da in parts)

    outputs, state = unit_by_unit(params)
    assert_close({"outputs": results["outputs"][:, 0]}, {"outputs": outputs})
    assert_close(
        {field: results[f"state.{field}"][0] for field in state0._fields},
        dict(zip(state0._fields, state, strict=True)),
    )
    report = gradient_check(loss, params, grads_of(cell, results), method="complex")
    assert report.ok, f"\n{report}"


def test_vanilla_lstm_gradients_equal_the_published_backward_equations():
    cell = LSTMVariant.preset("V", D, H)
    params, xs, state0, doutputs, dstate = random_case(cell, np.random.default_rng(4), B=1)
    results = run(cell, params, xs, state0, doutputs, dstate)
    w = greff_weights(params, cell.gates)
    trace = greff_trace(w, "V", xs[:, 0], map_state(lambda a: a[0], state0))
    Delta = doutputs[:, 0].copy()
    Delta[-1] += dstate.h[0]
    expected = loops.greff_backward(w, xs[:, 0].tolist(), trace, Delta, dstate.c[0])
    assert_close(greff_weights(grads_of(cell, results), cell.gates), expected)


def graves_weights(params, C):
    """The cell's parameters as `reference_loops.graves_step` takes them."""
    G = H // C
    splits = [G, 2 * G, 3 * G]
    w = {}
    for name, key in {"W_x": "x", "W_h": "h", "b": "0"}.items():
        parts = np.split(params[name], splits, axis=-1)
        for unit, part in zip(("iota", "phi", "omega", "c"), parts, strict=True):
            w[unit + key] = part.T.tolist()
    for gate, name in {"iota": "p_i", "phi": "p_f", "omega": "p_o"}.items():
        w[gate + "s"] = params[name].tolist()
    return w


@pytest.mark.parametrize("C", [1, 2, 4])
def test_graves_block_equals_loops_over_single_units(C):
    cell = LSTMVariant(D, H, peepholes=True, block_size=C)
    params, xs, state0, doutputs, _ = random_case(cell, np.random.default_rng(5), B=1)
    results = run(cell, params, xs, state0, doutputs, None)
    w = graves_weights(params, C)
    trace = [{"b": state0.h[0].tolist(), "s": state0.c[0].tolist()}]
    for x in xs[:, 0].tolist():
        trace.append(loops.graves_step(w, x, trace[-1]["b"], trace[-1]["s"], C))
    got = {"outputs": results["outputs"][:, 0], "c": results["state.c"][0]}
    assert_close(got, {"outputs": [step["b"] for step in trace[1:]], "c": trace[-1]["s"]})
    expected = loops.graves_backward(w, xs[:, 0].tolist(), trace, doutputs[:, 0].tolist(), C)
    assert_close(graves_weights(grads_of(cell, results), C), expected)


def weights_1997(params, cell):
    """The cell's parameters as `reference_loops.cells_1997` takes them."""
    G, R = H // cell.block_size, cell.state_sizes.r if cell.gate_recurrence else 0
    W_r = params.get("W_r", np.zeros((0, params["b"].size)))
    sources = np.vstack([params["W_x"], params["W_h"], W_r, params["b"]])
    assert len(sources) == D + H + R + 1
    kinds = {"i": "in", "f": "phi", "o": "out"}
    names = [kinds[gate] for gate in cell.gates[:-1]] + ["c"]
    parts = np.split(sources, [G * k for k in range(1, len(names))], axis=1)
    w = {name: part.T.tolist() for name, part in zip(names, parts, strict=True)}
    return w | {
        kinds[name[2]] + "_peep": params[name].tolist() for name in params if name[:2] == "p_"
    }


CELLS_1997 = {
    "original": {},
    "forget-gates-2000": {"forget_gate": True, "gate_recurrence": None},
    "recurrent-forget-gates": {"forget_gate": True},
    "peepholes-2002": {"forget_gate": True, "gate_recurrence": None, "peepholes": True},
}


@pytest.mark.parametrize("C", [1, 2])
@pytest.mark.parametrize("options", CELLS_1997.values(), ids=CELLS_1997)
@pytest.mark.parametrize("truncated", [True, False], ids=["truncated", "full"])
def test_1997_cell_equals_loops_over_single_units(options, C, truncated):
    cell = LSTMVariant.preset("HS97", D, H, block_size=C, truncated=truncated, **options)
    params, xs, state0, doutputs, dstate = random_case(cell, np.random.default_rng(6), B=1)
    dstate = map_state(np.zeros_like, dstate)._replace(h=dstate.h, c=dstate.c)
    results = run(cell, params, xs, state0, doutputs, dstate)
    start = [state0.h[0].tolist(), state0.c[0].tolist()]
    start.append(state0.r[0].tolist() if cell.gate_recurrence else [])

    def steps(point):
        return list(loops.cells_1997(weights_1997(point, cell), xs[:, 0].tolist(), *start, C))

    trace = steps(params)
    got = {"outputs": results["outputs"][:, 0], "c": results["state.c"][0]}
    assert_close(got, {"outputs": [step["y_c"] for step in trace], "c": trace[-1]["s"]})
    errors = doutputs[:, 0].copy()
    errors[-1] += dstate.h[0]

    if truncated:
        expected = loops.truncated_gradient_1997(
            weights_1997(params, cell), trace, errors.tolist(), dstate.c[0].tolist(), C
        )
        assert_close(weights_1997(grads_of(cell, results), cell), expected)
    else:

        def loss(point):
            trace = steps(point)
            y = np.array([step["y_c"] for step in trace])
            return (y * errors).sum() + (np.array(trace[-1]["s"]) * dstate.c[0]).sum()

        report = gradient_check(loss, params, grads_of(cell, results), method="complex")
        assert report.ok, f"\n{report}"


# Against the plain cell and against TensorFlow's rules


def test_without_options_it_equals_the_plain_lstm_cell_exactly():
    plain, variant = LSTMCell(D, H), LSTMVariant(D, H)
    assert variant.gates == plain.gates
    assert variant.gate_columns == plain.gate_columns
    for name, array in plain.init(7).items():
        np.testing.assert_array_equal(variant.init(7)[name], array)
    case = random_case(plain, np.random.default_rng(7))
    results, expected = run(variant, *case, [4, 2, 0]), run(plain, *case, [4, 2, 0])
    assert results.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(results[name], expected[name])


@pytest.mark.parametrize(
    ("c", "kept", "slope"), [(0.4, 0.4, 1), (0.5, 0.5, 1), (-0.5, -0.5, 1), (0.6, 0.5, 0)]
)
def test_clip_passes_the_gradient_up_to_the_limit_itself_as_tensorflow_does(c, kept, slope):
    adder = LSTMVariant(
        1, 1, input_gate=False, forget_gate=False, output_gate=False, cell_clip=0.5,
        input_activation="identity", output_activation="identity",
    )  # fmt: skip
    zero = np.zeros((1, 1))
    params = {"W_x": zero, "W_h": zero, "b": np.zeros(1)}
    state, cache = adder.forward(params, zero, LSTMState(zero, np.array([[c]])))
    assert state.c == kept
    _, dstate_prev, _ = adder.backward(params, cache, LSTMState(zero, zero + 1))
    assert dstate_prev.c == slope


def test_each_clip_bounds_its_own_value_on_both_sides():
    cell = LSTMVariant(D, H, projection_size=3, cell_clip=0.3, projection_clip=0.1)
    params, xs, state0, *_ = random_case(cell, np.random.default_rng(0), B=20)
    state, cache = cell.forward(params, xs[0], state0)
    c = np.clip(cache.f * state0.c + cache.i * cache.g, -0.3, 0.3)
    h = np.clip((cache.o * np.tanh(c)) @ params["W_p"], -0.1, 0.1)
    assert_close(state._asdict(), {"h": h, "c": c})
    assert {h.min(), h.max(), c.min(), c.max()} == {-0.1, 0.1, -0.3, 0.3}


def test_a_clip_does_not_turn_nan_into_a_number():
    cell = LSTMVariant(1, 1, cell_clip=0.5)
    nan = np.array([[math.nan]])
    state, _ = cell.forward(cell.init(0), nan, cell.zero_state(nan))
    assert np.isnan(state.c).all()


# What holds for every composition


@pytest.mark.parametrize("options", COMPOSITIONS[:20])
@pytest.mark.parametrize("shared", [False, True], ids=["own-inputs", "shared-inputs"])
def test_networks_on_a_leading_axis_equal_separate_runs(options, shared):
    S = 3
    cell = LSTMVariant(D, H, **options)
    params, xs, state0, doutputs, dstate = random_case(cell, np.random.default_rng(8), axis=(S,))
    if shared:
        xs, state0 = xs[:, 0], map_state(lambda a: a[0], state0)
    results = run(cell, params, xs, state0, doutputs, dstate, [4, 2, 0])
    for s in range(S):
        expected = run(
            cell,
            {name: array[s] for name, array in params.items()},
            xs if shared else xs[:, s],
            state0 if shared else type(state0)(*(a[s] for a in state0)),
            doutputs[:, s],
            type(dstate)(*(a[s] for a in dstate)),
            [4, 2, 0],
        )
        own = {
            name: array[:, s] if name in ("outputs", "dxs") else array[s]
            for name, array in results.items()
        }
        assert_close(own, expected)


@pytest.mark.parametrize("options", COMPOSITIONS[:20])
def test_float32_stays_float32(options):
    cell = LSTMVariant(D, H, truncated=True, **options)
    single = map_state(
        lambda a: a.astype(np.float32), random_case(cell, np.random.default_rng(9))[1:]
    )
    params = cell.init(0, np.float32)
    results = run(cell, params, *single)
    arrays = [*params.values(), *results.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@pytest.mark.parametrize("options", COMPOSITIONS[:20])
def test_a_second_backward_is_the_same_and_no_argument_is_changed(options):
    cell = LSTMVariant(D, H, **options)
    case = random_case(cell, np.random.default_rng(10))
    params, xs, state0, doutputs, dstate = case
    arrays = [*params.values(), xs, *state0, doutputs, *dstate]
    copies = [array.copy() for array in arrays]
    _, _, tape = unroll(cell, params, xs, state0, [4, 2, 0])
    first = unroll_backward(cell, params, tape, doutputs, dstate)
    second = unroll_backward(cell, params, tape, doutputs, dstate)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    for a, b in zip((first[0], *first[1]), (second[0], *second[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in params:
        np.testing.assert_array_equal(first[2][name], second[2][name])


@pytest.mark.parametrize("options", COMPOSITIONS)
def test_parameters_and_states_have_the_shapes_that_are_promised(options):
    cell = LSTMVariant(D, H, **options)
    assert {name: array.shape for name, array in cell.init(0).items()} == cell.param_shapes
    assert list(cell.gate_columns) == list(cell.gates)
    stops = [columns.stop for columns in cell.gate_columns.values()]
    starts = [columns.start for columns in cell.gate_columns.values()]
    assert starts == [0, *stops[:-1]]
    assert stops[-1] == cell.param_shapes["b"][0]


# Initial values


@pytest.mark.parametrize(
    ("blocks", "outputs", "weights"),
    [((2, 2, 2), 1, 93), ((2, 2, 8), 4, 156), ((3, 2, 8), 8, 308)],
    ids=["experiments 4 and 5", "experiment 6a", "experiment 6b"],
)
def test_number_of_weights_is_that_of_the_1997_paper(blocks, outputs, weights):
    count, size, inputs = blocks
    cell = LSTMVariant.preset("HS97", inputs, count * size, block_size=size)
    head = count * size * outputs + outputs
    assert sum(math.prod(shape) for shape in cell.param_shapes.values()) + head == weights


@pytest.mark.parametrize(
    ("options", "gate", "bias"),
    [({}, "f", 3.0), ({"coupled": True}, "i", -3.0), ({"block_size": 2}, "f", 3.0)],
)
def test_forget_bias_is_where_the_forget_gate_starts(options, gate, bias):
    cell = LSTMVariant(D, H, forget_bias=3.0, **options)
    b = cell.init(0)["b"]
    own = b[cell.gate_columns[gate]]
    assert (own == bias).all()
    assert own.size == np.count_nonzero(b) == H // cell.block_size


def test_peepholes_start_within_the_limit_that_tensorflow_draws_them_with():
    params = LSTMVariant(D, 300, peepholes=True).init(0)
    for name in ("p_i", "p_f", "p_o"):
        limit = np.sqrt(6 / (2 * 300))
        assert 0.9 * limit < np.abs(params[name]).max() <= limit


@pytest.mark.parametrize("initializer", ["normal:0.1", "orthogonal", "identity"])
def test_a_recurrent_initializer_draws_each_block_of_gates(initializer):
    cell = LSTMVariant(D, H, block_size=2, peepholes=True, recurrent_initializer=initializer)
    assert cell.init(0)["W_h"].shape == (H, 10)


@pytest.mark.parametrize(
    ("cell", "keeping", "opposite"),
    [
        (LSTMCell(2, 5000), "f", "i"),
        (LSTMVariant(2, 5000, block_size=5), "f", "i"),
        (LSTMVariant(2, 5000, input_gate=False), "f", None),
        (LSTMVariant(2, 5000, coupled=True), None, "i"),
        (GRUCell(2, 5000), "u", None),
    ],
    ids=["lstm", "blocks", "no-input-gate", "coupled", "gru"],
)
def test_chrono_biases_cover_every_time_scale(cell, keeping, opposite):
    params = {
        name: np.zeros((2, *shape)) for name, shape in cell.param_shapes.items() if name == "b"
    }
    b = chrono(cell, params, T_max=100, rng=0)["b"]
    assert not params["b"].any(), "the argument was changed"
    columns = cell.gate_columns
    if keeping and opposite:
        np.testing.assert_array_equal(b[..., columns[keeping]], -b[..., columns[opposite]])
    tau = np.exp(b[..., columns[keeping]] if keeping else -b[..., columns[opposite]])
    assert tau.min() >= 1
    assert tau.max() <= 99
    assert abs(tau.mean() - 50) < 3
    assert abs(np.median(tau) - 50) < 5
    assert not np.array_equal(b[0], b[1]), "networks on a leading axis start alike"
    rest = [gate for gate in cell.gates if gate not in (keeping, opposite)]
    assert not any(b[..., columns[gate]].any() for gate in rest)


def test_chrono_keeps_the_weights_and_the_dtype():
    cell = LSTMCell(D, H)
    params = cell.init(0, np.float32)
    started = chrono(cell, params, 10, rng=1)
    assert started["W_h"] is params["W_h"]
    assert started["b"].dtype == np.float32


@pytest.mark.parametrize(
    "cell", [RNNCell(D, H), LSTMVariant(D, H, forget_gate=False)], ids=["rnn", "no-forget-gate"]
)
def test_chrono_refuses_cells_that_cannot_forget(cell):
    with pytest.raises(ValueError, match="gate that forgets"):
        chrono(cell, cell.init(0), 100)


@pytest.mark.parametrize("T_max", [2, 0, math.inf, "long"])
def test_chrono_refuses_a_time_scale_that_cannot_be(T_max):
    cell = LSTMCell(D, H)
    with pytest.raises(ValueError, match="T_max"):
        chrono(cell, cell.init(0), T_max)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size must be a positive integer, got 0"),
        ({"hidden_size": 2.5}, "hidden_size"),
        ({"forget_bias": math.nan}, "forget_bias"),
        ({"peepholes": "yes"}, "peepholes must be True or False, got 'yes'"),
        ({"input_activation": "sine"}, "input_activation"),
        ({"output_activation": None}, "output_activation"),
        ({"projection_size": 0}, "projection_size"),
        ({"cell_clip": 0}, "cell_clip"),
        ({"cell_clip": -1.0}, "cell_clip"),
        ({"projection_size": 2, "projection_clip": 0}, "projection_clip"),
        ({"projection_clip": 0.5}, "projection_clip must be None without projection_size"),
        ({"gate_recurrence": "cells"}, "gate_recurrence"),
        ({"block_size": 3}, "block_size must divide hidden_size = 4"),
        ({"block_size": 0}, "block_size"),
        ({"coupled": True, "input_gate": False}, "coupled"),
        ({"coupled": True, "forget_gate": False}, "coupled"),
        (OPTIONS["no-gates"] | {"peepholes": True}, "peepholes must be False in a cell without"),
        (OPTIONS["no-gates"] | {"gate_recurrence": "all"}, "gate_recurrence must be None"),
        (OPTIONS["no-gates"] | {"block_size": 2}, "block_size must be 1"),
        ({"kernel_initializer": "zeros"}, "kernel_initializer"),
        ({"recurrent_initializer": "normal"}, "recurrent_initializer"),
    ],
)
def test_options_that_cannot_be_are_refused_with_a_reason(options, message):
    with pytest.raises(ValueError, match=message):
        LSTMVariant(**({"input_size": D, "hidden_size": H} | options))


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="name must be one of 'V', 'NIG'"):
        LSTMVariant.preset("NOPE", D, H)


def test_preset_options_can_be_overridden():
    cell = LSTMVariant.preset("HS97", D, H, truncated=False)
    assert cell == replace(LSTMVariant.preset("HS97", D, H), truncated=False)


def test_a_state_without_the_recurrent_gates_is_refused():
    cell = LSTMVariant.preset("FGR", D, H)
    x = np.ones((B, D))
    h = np.zeros((B, H))
    with pytest.raises(TypeError, match="state must be of type RecurrentGatesState"):
        cell.forward(cell.init(0), x, LSTMState(h, h))
    with pytest.raises(ValueError, match=r"state.r must have shape \(3, 12\)"):
        cell.forward(cell.init(0), x, RecurrentGatesState(h, h, h))
