import json
from dataclasses import FrozenInstanceError, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from npylstm.training.optimizers import (
    SGD,
    Adam,
    AdamW,
    RMSProp,
    clip_by_global_norm,
    clip_by_value,
)

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("optimizers.json").read_text())

OPTIMIZERS = [
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adam(0.1),
    *(
        RMSProp(0.1, momentum=momentum, centered=centered, convention=convention)
        for momentum in (0.0, 0.9)
        for centered in (False, True)
        for convention in ("tf1", "torch")
    ),
]
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)


def draw(seed, dtype=np.float64, networks=()):
    rng = np.random.default_rng(seed)
    shapes = {"W": (3, 4), "b": (4,)}
    return {k: rng.normal(size=networks + shape).astype(dtype) for k, shape in shapes.items()}


def run(optimizer, params, grads_of_step):
    state = optimizer.init(params)
    trajectory = []
    for grads in grads_of_step:
        params, state = optimizer.update(params, grads, state)
        trajectory.append(params)
    return trajectory, state


@every_optimizer
def test_float16_where_epsilon_and_small_squares_are_zero_is_refused(optimizer):
    with pytest.raises(TypeError, match=r"W must be float32 or float64, got float16.*convert it"):
        optimizer.init(draw(0, np.float16))


# The updates against TensorFlow and PyTorch.


def tensorflow_case(make, name):
    case = GOLDEN[name]
    # TensorFlow rounds its hyper-parameters to float32.
    rounded = {
        key: np.float32(value) if isinstance(value, float) else value
        for key, value in case["hyperparameters"].items()
    }
    params = {"w": np.array(case["w0"])}
    grads = [{"w": np.array(g)} for g in case["grads"]]
    trajectory, state = run(make(**rounded), params, grads)
    return np.stack([params["w"] for params in trajectory]), state["w"], case


@pytest.mark.parametrize("name", ["rmsprop", "rmsprop_momentum", "rmsprop_centered_momentum"])
def test_rmsprop_tf1_equals_tensorflow_to_the_last_bit(name):
    trajectory, slots, case = tensorflow_case(partial(RMSProp, convention="tf1"), name)
    np.testing.assert_array_equal(trajectory, case["traj"])
    np.testing.assert_array_equal(slots["ms"], case["slots_final"]["rms"])
    if "mom" in slots:
        np.testing.assert_array_equal(slots["mom"], case["slots_final"]["momentum"])
    if "mg" in slots:
        np.testing.assert_array_equal(slots["mg"], case["slots_final"]["mg"])


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_sgd_equals_tensorflow_to_the_last_bit(name):
    trajectory, slots, case = tensorflow_case(SGD, name)
    np.testing.assert_array_equal(trajectory, case["traj"])
    np.testing.assert_array_equal(slots["v"], case["slots_final"]["momentum"])


def test_adam_follows_tensorflow_as_far_as_its_rounding_goes():
    # TensorFlow keeps the powers of beta in float32. 1 - 0.999 is then off by up to 2**-25 / 0.001,
    # its root by half of that, and each of the 4 steps is about the learning rate.
    trajectory, slots, case = tensorflow_case(Adam, "adam")
    atol = 4 * case["hyperparameters"]["learning_rate"] * 2**-25 / 0.001 / 2
    np.testing.assert_allclose(trajectory, case["traj"], rtol=0, atol=atol)
    np.testing.assert_array_equal(slots["m"], case["slots_final"]["m"])
    np.testing.assert_allclose(slots["v"], case["slots_final"]["v"], rtol=1e-15)


def torch_twin(torch, optimizer, weights):
    """PyTorch's optimiser with the same settings."""
    lr = optimizer.learning_rate
    if isinstance(optimizer, SGD):
        return torch.optim.SGD(weights, lr, optimizer.momentum, nesterov=optimizer.nesterov)
    if isinstance(optimizer, Adam):
        betas = optimizer.beta1, optimizer.beta2
        return torch.optim.Adam(weights, lr, betas, optimizer.epsilon)
    return torch.optim.RMSprop(
        weights,
        lr,
        optimizer.decay,
        optimizer.epsilon,
        momentum=optimizer.momentum,
        centered=optimizer.centered,
    )


@pytest.mark.parametrize(
    "optimizer", [o for o in OPTIMIZERS if getattr(o, "convention", "torch") == "torch"], ids=repr
)
def test_trajectory_equals_pytorch(optimizer):
    torch = pytest.importorskip("torch")
    optimizer = replace(optimizer, learning_rate=0.01)
    grads_of_step = [draw(seed) for seed in range(1, 101)]
    trajectory, _ = run(optimizer, draw(0), grads_of_step)

    weights = {name: torch.tensor(w, requires_grad=True) for name, w in draw(0).items()}
    twin = torch_twin(torch, optimizer, weights.values())
    for params, grads in zip(trajectory, grads_of_step, strict=True):
        for name, w in weights.items():
            w.grad = torch.tensor(grads[name])
        twin.step()
        for name, w in weights.items():
            np.testing.assert_allclose(params[name], w.detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("optimizer", "gradient", "expected"),
    [
        (SGD(0.1), 0.5, 0.95),
        # sqrt(ms) = sqrt(¼ g²) = 1e-8 = epsilon, so that the step is 0.1 · 2e-8 / (1e-8 + 1e-8)
        (RMSProp(0.1, 0.75, convention="torch"), 2e-8, 0.9),
        (RMSProp(0.1, 0.75, centered=True, convention="torch"), 2e-8, 1 - 0.2 / (3**0.5 / 2 + 1)),
        # m_hat = sqrt(v_hat) = g = epsilon, so that the step is 0.1 · 1e-8 / (1e-8 + 1e-8)
        (Adam(0.1), 1e-8, 0.95),
    ],
    ids=repr,
)
def test_a_first_step_from_one_by_hand(optimizer, gradient, expected):
    params = {"w": np.ones(1)}
    params, _ = optimizer.update(params, {"w": np.full(1, gradient)}, optimizer.init(params))
    np.testing.assert_allclose(params["w"], expected, rtol=1e-14)


def test_the_defaults_are_those_of_tensorflow_and_pytorch():
    # tf.train.RMSPropOptimizer(learning_rate, decay=0.9, momentum=0.0, epsilon=1e-10, ...)
    assert RMSProp() == RMSProp(0.001, 0.9, 0.0, 1e-10, centered=False, convention="tf1")
    torch = pytest.importorskip("torch")
    twin = torch.optim.RMSprop([torch.zeros(1)])
    assert RMSProp(convention="torch").epsilon == twin.defaults["eps"]
    adam = torch.optim.Adam([torch.zeros(1)]).defaults
    assert Adam() == Adam(adam["lr"], *adam["betas"], adam["eps"])


# What holds for every optimiser.


@every_optimizer
@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_float32_stays_float32_whatever_the_type_of_the_settings(optimizer, number):
    settings = {k: number(v) for k, v in vars(optimizer).items() if type(v) is float}
    grads_of_step = [draw(seed, np.float32) for seed in (1, 2)]
    (_, params), state = run(replace(optimizer, **settings), draw(0, np.float32), grads_of_step)
    for name, w in params.items():
        assert w.dtype == np.float32
        assert {a.dtype for slot, a in state[name].items() if slot != "t"} <= {w.dtype}


@every_optimizer
def test_update_changes_none_of_its_arguments(optimizer):
    params, grads = draw(0), draw(1)
    _, state = run(optimizer, params, [draw(2)])
    owned = [*params.values(), *grads.values(), *(a for s in state.values() for a in s.values())]
    for array in owned:
        array.setflags(write=False)
    once, state_once = optimizer.update(params, grads, state)
    again, state_again = optimizer.update(params, grads, state)
    for name in params:
        np.testing.assert_array_equal(once[name], again[name])
        for slot, array in state_once[name].items():
            np.testing.assert_array_equal(array, state_again[name][slot])
    new = [*once.values(), *(a for s in state_once.values() for a in s.values())]
    assert not any(np.shares_memory(a, b) for a in new for b in owned)


@every_optimizer
def test_networks_on_a_leading_axis_train_like_each_alone(optimizer):
    grads_of_step = [draw(seed, networks=(5,)) for seed in range(1, 5)]
    together, _ = run(optimizer, draw(0, networks=(5,)), grads_of_step)
    for s in range(5):
        one = [{name: g[s] for name, g in grads.items()} for grads in grads_of_step]
        alone, _ = run(optimizer, {name: w[s] for name, w in draw(0, networks=(5,)).items()}, one)
        for name in alone[-1]:
            np.testing.assert_array_equal(together[-1][name][s], alone[-1][name])


@every_optimizer
def test_settings_cannot_be_changed_after_they_were_checked(optimizer):
    with pytest.raises(FrozenInstanceError):
        optimizer.learning_rate = -1.0


@every_optimizer
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-20, 1e15])
def test_a_gradient_of_any_size_gives_finite_weights(optimizer, size):
    params = {"w": np.zeros(4, np.float32)}
    grads = {"w": np.full(4, size, np.float32) * np.float32([0, 1, -1, 1])}
    trajectory, _ = run(optimizer, params, [grads] * 300)
    assert np.isfinite(trajectory[-1]["w"]).all()


@pytest.mark.parametrize("convention", ["tf1", "torch"])
def test_centered_rmsprop_survives_a_variance_that_rounding_makes_negative(convention):
    # A gradient that settles on one value: both averages creep down to it and stick just above.
    g = np.linspace(1, 1000, 1000, dtype=np.float32)
    optimizer = RMSProp(0.001, centered=True, convention=convention)
    trajectory, state = run(
        optimizer, {"w": np.zeros_like(g)}, [{"w": 2 * g}] * 20 + [{"w": g}] * 300
    )
    assert (state["w"]["ms"] - state["w"]["mg"] ** 2).min() < 0, "the case does not arise"
    assert np.isfinite(trajectory[-1]["w"]).all()


# Clipping.


def norm_of(grads, network=()):
    return np.linalg.norm(np.concatenate([np.ravel(g[network]) for g in grads.values()]))


def test_clip_by_global_norm_equals_pytorch():
    torch = pytest.importorskip("torch")
    grads = draw(0)
    weights = [torch.zeros(g.shape, dtype=torch.float64) for g in grads.values()]
    for w, g in zip(weights, grads.values(), strict=True):
        w.grad = torch.tensor(g)
    torch_norm = torch.nn.utils.clip_grad_norm_(weights, 0.5)
    clipped, norm = clip_by_global_norm(grads, 0.5)
    assert norm == pytest.approx(torch_norm.item(), rel=1e-15)
    for w, g in zip(weights, clipped.values(), strict=True):
        # PyTorch divides by norm + 1e-6.
        np.testing.assert_allclose(g * norm / (norm + 1e-6), w.grad.numpy(), rtol=1e-14)


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: st.fixed_dictionaries(
            {
                name: arrays.arrays(
                    dtype,
                    arrays.array_shapes(max_dims=3, max_side=4),
                    elements={"min_value": -(2.0**120), "max_value": 2.0**120},
                )
                for name in ("W", "b")
            }
        )
    ),
    st.floats(1e-3, 1e3),
)
def test_clipping_keeps_the_direction_and_bounds_the_norm(grads, max_norm):
    clipped, norm = clip_by_global_norm(grads, max_norm)
    wide = {name: g.astype(np.longdouble) for name, g in grads.items()}
    assert float(norm) == pytest.approx(float(norm_of(wide)), rel=1e-13)
    for name, g in grads.items():
        assert clipped[name].dtype == g.dtype
        assert clipped[name].shape == g.shape
        if norm <= max_norm:
            np.testing.assert_array_equal(clipped[name], g)
        else:
            expected = wide[name] * (max_norm / norm_of(wide))
            info = np.finfo(g.dtype)
            # In float32 the factor max_norm / norm itself can be subnormal.
            rounding = 4 * info.eps + info.smallest_subnormal * float(norm) / max_norm
            np.testing.assert_allclose(
                clipped[name], expected, rtol=float(rounding), atol=info.smallest_subnormal
            )


@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float32, 1e30), (np.float64, 1e300), (np.float64, 1e-300)]
)
def test_the_norm_neither_overflows_nor_underflows(dtype, size):
    grads = {"W": np.full((2, 2), size, dtype)}
    clipped, norm = clip_by_global_norm(grads, size / 2)
    assert norm == pytest.approx(2 * size, rel=1e-6)
    np.testing.assert_allclose(clipped["W"], size / 4, rtol=1e-6)


def test_a_zero_gradient_has_norm_zero_and_stays():
    clipped, norm = clip_by_global_norm({"W": np.zeros((2, 2))}, 1.0)
    assert norm == 0
    np.testing.assert_array_equal(clipped["W"], 0.0)


def test_each_network_is_clipped_by_its_own_norm():
    grads = draw(0, networks=(4,))
    grads = {name: g * np.arange(4).reshape(-1, *[1] * (g.ndim - 1)) for name, g in grads.items()}
    clipped, norm = clip_by_global_norm(grads, 3.0, leading_axes=1)
    assert norm.shape == (4,)
    assert norm[1] < 3 or norm[2] < 3 or norm[3] > 3, "some within, some above"
    for s in range(4):
        alone, norm_alone = clip_by_global_norm({name: g[s] for name, g in grads.items()}, 3.0)
        assert norm[s] == pytest.approx(norm_alone, rel=1e-15)
        for name in grads:
            np.testing.assert_allclose(clipped[name][s], alone[name], rtol=1e-15)


def test_norms_of_networks_are_in_double_precision_from_zero_to_what_no_square_can_hold():
    sizes = np.array([0.0, 1e-30, 1e30], np.float32)
    grads = {"W": np.broadcast_to(sizes[:, None, None], (3, 2, 2))}
    clipped, norm = clip_by_global_norm(grads, 1.0, leading_axes=1)
    assert norm.dtype == np.float64
    np.testing.assert_allclose(norm, 2 * sizes.astype(float), rtol=1e-15)
    np.testing.assert_allclose(clipped["W"][:, 0, 0], [0, 1e-30, 0.5], rtol=1e-6)


def test_networks_of_a_single_weight_are_clipped_one_by_one():
    clipped, norm = clip_by_global_norm({"b": np.array([-3.0, 0.5])}, 1.0, leading_axes=1)
    np.testing.assert_array_equal(norm, [3.0, 0.5])
    np.testing.assert_array_equal(clipped["b"], [-1.0, 0.5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_is_not_finite_makes_its_own_network_nan_as_in_tensorflow(bad, dtype):
    grads = draw(0, dtype, networks=(2,))
    grads["b"][1, 0] = bad
    clipped, norm = clip_by_global_norm(grads, 1.0, leading_axes=1)
    assert np.isnan(norm).tolist() == [False, True]
    for g in clipped.values():
        assert np.isfinite(g[0]).all()
        assert np.isnan(g[1]).all()


def test_clipping_changes_no_argument():
    grads = draw(0)
    for g in grads.values():
        g.setflags(write=False)
    clipped, _ = clip_by_global_norm(grads, 0.1)
    limited = clip_by_value(grads, 0.1)
    for name, g in grads.items():
        assert not np.shares_memory(g, clipped[name])
        assert not np.shares_memory(g, limited[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("limit", [0.5, np.float64(0.5)])
def test_clip_by_value_equals_pytorch(dtype, limit):
    torch = pytest.importorskip("torch")
    g = np.array([-np.inf, -3, -0.5, 0.2, 0.7, np.inf, np.nan], dtype)
    w = torch.tensor(g)
    w.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_value_([w], 0.5)
    clipped = clip_by_value({"w": g}, limit)["w"]
    assert clipped.dtype == dtype
    np.testing.assert_array_equal(clipped, w.grad.numpy())


def test_clip_by_value_bounds_each_entry_on_both_sides_and_keeps_nan():
    clipped = clip_by_value({"w": np.array([-np.inf, -3, -0.5, 0.2, 0.7, np.nan])}, 0.5)
    np.testing.assert_array_equal(clipped["w"], [-0.5, -0.5, -0.5, 0.2, 0.5, np.nan])


# Bad input.


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (SGD, "learning_rate"),
        (RMSProp, "learning_rate"),
        (Adam, "learning_rate"),
        (RMSProp, "epsilon"),
        (Adam, "epsilon"),
    ],
)
@pytest.mark.parametrize("value", [0, -0.1, np.nan, np.inf, "0.1", True])
def test_a_setting_that_is_not_positive_is_refused(make, name, value):
    settings = {"learning_rate": 0.1, name: value}
    with pytest.raises(ValueError, match=f"^{name} must be .*got {value!r}"):
        make(**settings)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (SGD, "momentum"),
        (RMSProp, "momentum"),
        (RMSProp, "decay"),
        (Adam, "beta1"),
        (Adam, "beta2"),
    ],
)
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, np.nan, "0.9", True])
def test_a_setting_outside_zero_to_one_is_refused(make, name, value):
    settings = {"learning_rate": 0.1, name: value}
    with pytest.raises(ValueError, match=f"^{name} must be .*got {value!r}"):
        make(**settings)


def test_an_unknown_convention_lists_the_known():
    with pytest.raises(ValueError, match=r"convention .*'tf1', 'torch', 'keras'.* got 'adam'"):
        RMSProp(convention="adam")


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match="nesterov"):
        SGD(0.1, nesterov=True)


def test_init_refuses_parameters_of_integers():
    with pytest.raises(TypeError, match=r"b .*int64"):
        SGD(0.1).init({"b": np.arange(3)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda grads: grads.pop("b"), r"grads .*\['W', 'b'\], got \['W'\]"),
        (lambda grads: grads.update(c=np.zeros(3)), r"grads .*got \['W', 'b', 'c'\]"),
        (lambda grads: grads.update(b=np.zeros((1, 4))), r"grads\['b'\] .*\(4,\).*\(1, 4\)"),
        (lambda grads: grads.update(b=np.zeros(4, np.float32)), r"'b'.*float64.*float32"),
    ],
)
def test_gradients_that_do_not_fit_the_parameters_are_refused(change, message):
    optimizer, params, grads = SGD(0.1), draw(0), draw(1)
    change(grads)
    with pytest.raises(ValueError, match=message):
        optimizer.update(params, grads, optimizer.init(params))


def test_the_state_of_other_parameters_or_of_another_optimizer_is_refused():
    params, grads = draw(0), draw(1)
    with pytest.raises(ValueError, match=r"state .*\['W', 'b'\], got \['W'\]"):
        Adam().update(params, grads, Adam().init({"W": params["W"]}))
    with pytest.raises(ValueError, match=r"no slot 't'.*Adam"):
        Adam().update(params, grads, SGD(0.1).init(params))


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, "1"])
def test_clipping_refuses_a_limit_that_is_not_positive(value):
    with pytest.raises(ValueError, match="max_norm"):
        clip_by_global_norm(draw(0), value)
    with pytest.raises(ValueError, match="limit"):
        clip_by_value(draw(0), value)


@pytest.mark.parametrize("leading_axes", [-1, 2])
def test_clipping_refuses_leading_axes_the_arrays_do_not_have(leading_axes):
    with pytest.raises(ValueError, match="leading_axes must be between 0 and 1"):
        clip_by_global_norm(draw(0), 1.0, leading_axes)


def test_no_gradients_at_all_can_not_be_clipped():
    with pytest.raises(ValueError, match="grads must hold one array at least"):
        clip_by_global_norm({}, 1.0)


# ------------------------------------------------------------------ decay, Keras, schedules


def steps_of(optimizer, w0, grads):
    """Every point of a run from w0 along fixed gradients."""
    params, state, points = {"w": w0.copy()}, None, []
    state = optimizer.init(params)
    for g in grads:
        params, state = optimizer.update(params, {"w": g}, state)
        points.append(params["w"])
    return np.stack(points)


W0 = np.random.default_rng(0).normal(size=(3, 4))
GRADS = np.random.default_rng(1).normal(size=(12, 3, 4))

TORCH = {
    "SGD": (
        lambda: SGD(0.01, weight_decay=0.3),
        lambda o, p: o.SGD(p, lr=0.01, weight_decay=0.3),
    ),
    "SGD nesterov": (
        lambda: SGD(0.01, 0.9, nesterov=True, weight_decay=0.3),
        lambda o, p: o.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.3),
    ),
    "RMSprop": (
        lambda: RMSProp(0.01, 0.95, 0.5, centered=True, convention="torch", weight_decay=0.3),
        lambda o, p: o.RMSprop(
            p, lr=0.01, alpha=0.95, momentum=0.5, centered=True, weight_decay=0.3
        ),
    ),
    "AdamW": (
        lambda: AdamW(0.01, weight_decay=0.3),
        lambda o, p: o.AdamW(p, lr=0.01, weight_decay=0.3),
    ),
    "AdamW by default": (lambda: AdamW(0.01), lambda o, p: o.AdamW(p, lr=0.01)),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH)
def test_weight_decay_is_pytorchs(ours, theirs):
    torch = pytest.importorskip("torch")
    w = torch.tensor(W0, requires_grad=True)
    optimizer, points = theirs(torch.optim, [w]), []
    for g in GRADS:
        w.grad = torch.tensor(g)
        optimizer.step()
        points.append(w.detach().numpy().copy())
    np.testing.assert_allclose(steps_of(ours(), W0, GRADS), np.stack(points), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({}, {}),
        ({"momentum": 0.5}, {"momentum": 0.5}),
        ({"centered": True, "epsilon": 1e-3}, {"centered": True, "epsilon": 1e-3}),
        ({"weight_decay": 0.3}, {"weight_decay": 0.3}),
    ],
    ids=str,
)
def test_the_keras_convention_is_keras_3s_rmsprop(options, theirs, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    w = keras.Variable(W0, dtype="float64")
    optimizer = keras.optimizers.RMSprop(learning_rate=0.01, rho=0.9, **theirs)
    optimizer.build([w])
    points = []
    for g in GRADS:
        optimizer.apply([keras.ops.convert_to_tensor(g, "float64")], [w])
        points.append(keras.ops.convert_to_numpy(w).copy())
    ours = steps_of(RMSProp(0.01, 0.9, convention="keras", **options), W0, GRADS)
    np.testing.assert_allclose(ours, np.stack(points), rtol=0, atol=1e-6)  # Keras keeps float32
    assert RMSProp(convention="keras").epsilon == 1e-7


@pytest.mark.parametrize(
    "make",
    [SGD, lambda rate: SGD(rate, 0.9), RMSProp, Adam, AdamW],
    ids=["sgd", "momentum", "rmsprop", "adam", "adamw"],
)
def test_a_schedule_is_a_function_of_the_step(make):
    def rate(step):
        return 0.01 * min(1.0, step / 4)  # a warm-up from 0

    points = steps_of(make(rate), W0, GRADS)
    np.testing.assert_array_equal(points[0], W0)
    params = {"w": W0}
    state = make(1.0).init(params)
    for step, g in enumerate(GRADS):
        fixed = make(rate(step) or 1e-300)  # a fixed rate must be above 0
        params, state = fixed.update(params, {"w": g}, state)
        np.testing.assert_allclose(points[step], params["w"], rtol=0, atol=1e-15)


def test_a_schedule_counts_on_from_a_saved_state_and_must_return_a_number():
    seen = []

    def rate(step):
        seen.append(step)
        return 0.1

    optimizer = Adam(rate)
    params, state = {"w": W0, "v": W0[0]}, optimizer.init({"w": W0, "v": W0[0]})
    for _ in range(3):
        params, state = optimizer.update(params, {"w": W0, "v": W0[0]}, state)
    assert sorted(set(seen)) == [0, 1, 2]
    assert {int(slots["step"]) for slots in state.values()} == {3}
    for bad in (lambda step: -1.0, lambda step: None, lambda step: np.nan):
        broken = SGD(bad)
        with pytest.raises(ValueError, match=r"learning_rate\(0\) must be a finite number"):
            broken.update({"w": W0}, {"w": W0}, broken.init({"w": W0}))
    for make in (lambda d: SGD(0.1, weight_decay=d), lambda d: AdamW(weight_decay=d)):
        with pytest.raises(ValueError, match="weight_decay must be a finite number"):
            make(-0.1)
