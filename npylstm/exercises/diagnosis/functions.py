"""The functions that the forms are written with, and what people take for them.

A form names a function such as `dsigmoid`; each entry of its family is another function that may
stand there, with the words for it. The words of a slip tell its kind, never the right line.
"""

from typing import TypeAlias

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.tasks import Function, Value

Family: TypeAlias = dict[str, tuple[Function, str]]


def sigmoid(z: Array) -> Value:
    """Squash z into (0, 1)."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def dsigmoid(s: Array) -> Array:
    """Slope of the logistic function at its output s."""
    return s * (1 - s)


def dtanh(t: Array) -> Array:
    """Slope of the hyperbolic tangent at its output t."""
    return 1 - t**2


SLOPES: Family = {
    "no_slope": (lambda v: 1.0 + 0 * v, "slope missing"),
    "of_sigmoid": (dsigmoid, "slope of the sigmoid in place of tanh's"),
    "of_tanh": (dtanh, "slope of tanh in place of the sigmoid's"),
    "first_factor": (lambda v: v, "v alone as the slope at v: a factor is missing"),
    "second_factor": (
        lambda v: 1 - v,
        "1 - v alone as the slope at v: a factor or a square is missing",
    ),
    "difference_squared": (lambda v: (1 - v) ** 2, "whole difference squared in the slope"),
    "sigmoid_again": (lambda v: dsigmoid(sigmoid(v)), "sigmoid applied again in the slope"),
    "tanh_again": (lambda v: dtanh(np.tanh(v)), "tanh applied again in the slope"),
    "plus_square": (lambda v: 1 + v**2, "plus in place of minus in the slope"),
    "plus": (lambda v: v * (1 + v), "plus in place of minus in the slope"),
    "minus_sigmoid": (lambda v: -dsigmoid(v), "sign of the slope"),
    "minus_tanh": (lambda v: -dtanh(v), "sign of the slope"),
    "square_inside": (lambda v: v * (1 - v**2), "square too many in the slope"),
    "factor_squared": (lambda v: v**2 * (1 - v), "square too many in the slope"),
    "factor_twice": (lambda v: v * (1 - v) ** 2, "factor 1 - s twice in the slope"),
    "slope_twice": (lambda v: dsigmoid(v) ** 2, "slope multiplied in twice"),
    "tanh_slope_twice": (lambda v: dtanh(v) ** 2, "slope multiplied in twice"),
    "over_sigmoid": (lambda v: 1 / dsigmoid(v), "divided by the slope"),
    "over_tanh": (lambda v: 1 / dtanh(v), "divided by the slope"),
    "no_one": (lambda v: v**2, "square alone in place of the slope, one minus missing"),
    "doubled": (lambda v: 1 - 2 * v, "doubled, not squared, in the slope"),
    "sum_of_slope": (lambda v: v + 1 - v, "factors of the slope added, not multiplied"),
    "two_minus": (lambda v: 2 - v**2, "2 in place of 1 in the slope"),
    "sigmoid_two_minus": (lambda v: v * (2 - v), "2 in place of 1 in the slope"),
    "cubed": (lambda v: 1 - v**3, "power in the slope"),
    "fourth": (lambda v: 1 - v**4, "power in the slope"),
    "root_slope": (lambda v: np.sqrt(abs(dtanh(v))), "root of the slope"),
    "of_itself": (lambda v: v - v, "slope zero everywhere"),
}

ACTIVATIONS: Family = {
    "as_sigmoid": (sigmoid, "sigmoid in place of tanh"),
    "as_tanh": (np.tanh, "tanh in place of the sigmoid"),
    "as_nothing": (lambda z: z, "no function applied"),
    "as_relu": (lambda z: np.maximum(z, 0), "relu in place of the function"),
    "twice_sigmoid": (lambda z: sigmoid(sigmoid(z)), "sigmoid applied twice"),
    "twice_tanh": (lambda z: np.tanh(np.tanh(z)), "tanh applied twice"),
    "not_halved": (lambda z: 0.5 * np.tanh(z) + 0.5, "argument of tanh not halved in the sigmoid"),
    "not_shifted": (lambda z: 0.5 * np.tanh(0.5 * z), "sigmoid not shifted to (0, 1)"),
    "mirrored": (lambda z: sigmoid(-z), "sign of the exponent in the sigmoid"),
    "mirrored_tanh": (lambda z: np.tanh(-z), "sign of the argument of tanh"),
    "hard": (lambda z: np.clip(0.2 * z + 0.5, 0, 1), "hard sigmoid, made of straight pieces"),
    "halved": (lambda z: sigmoid(0.5 * z), "argument halved in the sigmoid"),
    "of_absolute": (lambda z: sigmoid(abs(z)), "sign of the argument lost in the sigmoid"),
    "slope_of_sigmoid": (lambda z: dsigmoid(sigmoid(z)), "slope in place of the function"),
    "slope_of_tanh": (lambda z: dtanh(np.tanh(z)), "slope in place of the function"),
    "softmaxed": (
        lambda z: (
            np.exp(z - z.max(axis=-1, keepdims=True))
            / np.exp(z - z.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True)
        ),
        "softmax over the units in place of the function",
    ),
    "squared_argument": (lambda z: np.tanh(z**2), "square inside tanh"),
    "squared": (lambda z: np.tanh(z) ** 2, "square of tanh"),
    "half_more": (lambda z: sigmoid(z) + 0.5, "another number added in the sigmoid"),
    "not_a_half": (lambda z: np.tanh(0.5 * z) + 1, "sigmoid not halved"),
    "sine": (np.sin, "sine in place of the function"),
    "no_tanh": (lambda z: 0.5 + 0.25 * z, "tanh missing in the sigmoid"),
    "minus_below": (lambda z: 1 / (1 - np.exp(-z)), "minus in place of plus in the denominator"),
    "no_one_below": (np.exp, "one missing in the denominator of the sigmoid"),
    "not_divided": (
        lambda z: 1 + np.exp(-z),
        "denominator of the sigmoid in place of the fraction",
    ),
    "softsign": (lambda z: z / (1 + abs(z)), "softsign in place of the function"),
}


def pair(a: Array, d: Array) -> Array:
    """Sum over the batch of what meets a weight, times what arrives at its result."""
    return a.T @ d


PAIRS: Family = {
    "pair_mean": (lambda a, d: a.T @ d / len(d), "averaged over the batch, not summed"),
    "pair_last": (lambda a, d: a[-1:].T @ d[-1:], "last row of the batch alone counted"),
    "pair_first": (lambda a, d: a[:1].T @ d[:1], "first row of the batch alone counted"),
    "pair_not_last": (lambda a, d: a[:-1].T @ d[:-1], "last row of the batch left out"),
    "pair_not_first": (lambda a, d: a[1:].T @ d[1:], "first row of the batch left out"),
    "pair_sums": (
        lambda a, d: np.outer(a.sum(0), d.sum(0)),
        "product of two sums over the batch, not the sum of the products row by row",
    ),
    "pair_means": (
        lambda a, d: np.outer(a.mean(0), d.mean(0)),
        "product of two means over the batch, not the sum of the products row by row",
    ),
    "pair_mean_sum": (
        lambda a, d: np.outer(a.mean(0), d.sum(0)),
        "mean of one factor over the batch times the sum of the other, not row by row",
    ),
    "pair_running": (lambda a, d: a.T @ np.cumsum(d, axis=0), "running sum over the rows of dz"),
    "pair_running_back": (
        lambda a, d: np.cumsum(a, axis=0).T @ d,
        "running sum over the rows of what the weight meets",
    ),
    "pair_running_total": (
        lambda a, d: np.einsum("bi,bj->ijb", a, d) @ np.arange(len(d), 0, -1),
        "running total added again for every row",
    ),
    "pair_behind": (
        lambda a, d: np.roll(a, 1, axis=0).T @ d,
        "row n of the gradient meets row n - 1 of the other factor",
    ),
    "pair_ahead": (
        lambda a, d: np.roll(a, -1, axis=0).T @ d,
        "row n of the gradient meets row n + 1 of the other factor",
    ),
    "pair_reversed": (lambda a, d: a[::-1].T @ d, "rows of the batch paired in reverse order"),
    "pair_first_a": (
        lambda a, d: np.outer(a[0], d.sum(0)),
        "first row of what the weight meets used for every row of the gradient",
    ),
    "pair_last_a": (
        lambda a, d: np.outer(a[-1], d.sum(0)),
        "last row of what the weight meets used for every row of the gradient",
    ),
    "pair_first_d": (
        lambda a, d: np.outer(a.sum(0), d[0]),
        "first row of the gradient used for every row of the batch",
    ),
    "pair_last_d": (
        lambda a, d: np.outer(a.sum(0), d[-1]),
        "last row of the gradient used for every row of the batch",
    ),
    "pair_turned": (lambda a, d: d.T @ a, "transposed"),
    "pair_without": (lambda a, d: np.outer(np.ones(a.shape[1]), d.sum(0)), "factor missing"),
    "pair_minus": (lambda a, d: -a.T @ d, "sign"),
    "pair_twice": (lambda a, d: 2 * a.T @ d, "counted twice"),
    "pair_half": (lambda a, d: 0.5 * a.T @ d, "halved"),
    "pair_nothing": (lambda a, d: 0 * a.T @ d, "zero, nothing added up"),
    "pair_absolute": (lambda a, d: abs(a).T @ d, "absolute value of a factor"),
    "pair_mean_units": (lambda a, d: a.T @ d / d.shape[1], "divided by the number of units"),
    "pair_mean_inputs": (lambda a, d: a.T @ d / a.shape[1], "divided by the number of rows of W"),
}


def back(d: Array, W: Array) -> Array:
    """Carry dz back through a product with W."""
    return d @ W.T


BACKS: Family = {
    "back_not_turned": (lambda d, W: d @ W, "weights not transposed"),
    "back_first": (lambda d, W: 0 * d @ W.T + d[:1] @ W.T, "first row of dz used for every row"),
    "back_last": (lambda d, W: 0 * d @ W.T + d[-1:] @ W.T, "last row of dz used for every row"),
    "back_sum": (
        lambda d, W: 0 * d @ W.T + d.sum(0) @ W.T,
        "dz summed over the batch, so that rows are mixed",
    ),
    "back_mean": (
        lambda d, W: 0 * d @ W.T + d.mean(0) @ W.T,
        "dz averaged over the batch, so that rows are mixed",
    ),
    "back_divided": (lambda d, W: d @ W.T / len(d), "divided by the batch size"),
    "back_reversed": (lambda d, W: (d @ W.T)[::-1], "rows of the batch in reverse order"),
    "back_behind": (lambda d, W: np.roll(d @ W.T, 1, axis=0), "row n stored as row n + 1"),
    "back_ahead": (lambda d, W: np.roll(d @ W.T, -1, axis=0), "row n stored as row n - 1"),
    "back_running": (lambda d, W: np.cumsum(d @ W.T, axis=0), "running sum over the batch"),
    "back_minus": (lambda d, W: -d @ W.T, "sign"),
    "back_twice": (lambda d, W: 2 * d @ W.T, "counted twice"),
    "back_half": (lambda d, W: 0.5 * d @ W.T, "halved"),
    "back_squared": (lambda d, W: d**2 @ W.T, "dz squared"),
    "back_diagonal": (lambda d, W: d * np.diag(W), "diagonal of the weights alone"),
    "back_sum_W": (lambda d, W: d * W.sum(1), "weights summed, no product with them"),
    "back_sum_W0": (lambda d, W: d * W.sum(0), "weights summed, no product with them"),
    "back_without": (lambda d, W: 1.0 * d, "weights missing"),
    "back_absolute": (lambda d, W: d @ abs(W).T, "absolute value of the weights"),
    "back_last_only": (
        lambda d, W: np.concatenate([0 * d[:-1], d[-1:]]) @ W.T,
        "last row of the batch alone filled",
    ),
    "back_into_first": (
        lambda d, W: np.concatenate([d[-1:], 0 * d[1:]]) @ W.T,
        "first row of the result written for every row of the batch",
    ),
    "back_sum_into_first": (
        lambda d, W: np.concatenate([d.sum(0, keepdims=True), 0 * d[1:]]) @ W.T,
        "all rows of the batch added up in the first row of the result",
    ),
    "back_first_only": (
        lambda d, W: np.concatenate([d[:1], 0 * d[1:]]) @ W.T,
        "first row of the batch alone filled",
    ),
}


def rows(d: Array) -> Value:
    """Sum over the batch."""
    return d.sum(axis=0)


ROWS: Family = {
    "rows_mean": (lambda d: d.mean(axis=0), "averaged over the batch, not summed"),
    "rows_last": (lambda d: d[-1], "last row of the batch alone counted"),
    "rows_first": (lambda d: d[0], "first row of the batch alone counted"),
    "rows_not_last": (lambda d: d[:-1].sum(axis=0), "last row of the batch left out"),
    "rows_not_first": (lambda d: d[1:].sum(axis=0), "first row of the batch left out"),
    "rows_of_first": (lambda d: len(d) * d[0], "first row counted for every row of the batch"),
    "rows_of_last": (lambda d: len(d) * d[-1], "last row counted for every row of the batch"),
    "rows_running": (lambda d: np.cumsum(d, axis=0).sum(axis=0), "running total added every row"),
    "rows_all": (lambda d: d.sum() + 0 * d[0], "summed over the units as well"),
    "rows_absolute": (lambda d: abs(d).sum(axis=0), "absolute values summed"),
    "rows_squared": (lambda d: (d**2).sum(axis=0), "squares summed"),
    "rows_largest": (lambda d: d.max(axis=0), "largest row in place of the sum"),
    "rows_minus": (lambda d: -d.sum(axis=0), "sign"),
    "rows_twice": (lambda d: 2 * d.sum(axis=0), "counted twice"),
    "rows_nothing": (lambda d: 0 * d.sum(axis=0), "zero, nothing added up"),
    "rows_mean_units": (lambda d: d.sum(axis=0) / d.shape[1], "divided by the number of units"),
    "rows_ones": (lambda d: 0 * d[0] + len(d), "number of rows in place of the sum of dz"),
    "rows_kept": (lambda d: 1 * d, "not summed over the batch"),
    "rows_axis_kept": (lambda d: d.sum(axis=0, keepdims=True), "an axis too many"),
    "rows_of_units": (lambda d: d.sum(axis=1), "summed over the units, not over the batch"),
    "rows_product": (lambda d: d.prod(axis=0), "product over the batch in place of the sum"),
}


def before(states: Array, first: Array, t: int) -> Array:
    """Take the state that step t starts from."""
    return states[t - 1] if t > 0 else first


BEFORE: Family = {
    "before_same": (lambda s, s0, t: s[t], "state of step t in place of the one before it"),
    "before_same_then_first": (
        lambda s, s0, t: s[t] if t > 0 else s0,
        "state of step t in place of the one before it",
    ),
    "before_wrapped": (lambda s, s0, t: s[t - 1], "last state in place of the first at t = 0"),
    "before_zero": (
        lambda s, s0, t: s[t - 1] if t > 0 else 0 * s0,
        "zeros in place of the state before the first step",
    ),
    "before_always_first": (lambda s, s0, t: s0, "state before the first step used at every step"),
    "before_always_last": (lambda s, s0, t: s[-1], "last state used at every step"),
    "before_skip": (lambda s, s0, t: s[t - 2] if t > 1 else s0, "state two steps back"),
    "before_next": (
        lambda s, s0, t: s[min(t + 1, len(s) - 1)],
        "state of step t + 1 in place of the one before step t",
    ),
    "before_nothing": (lambda s, s0, t: 0 * s0, "zero state at every step"),
    "before_reversed": (
        lambda s, s0, t: s[::-1][t - 1] if t > 0 else s0,
        "states in reverse order",
    ),
    "before_reversed_all": (
        lambda s, s0, t: before(s, s0, len(s) - 1 - t),
        "states in reverse order",
    ),
    "before_own_first": (
        lambda s, s0, t: s[t - 1] if t > 0 else s[0],
        "state after the first step in place of the one before it",
    ),
}


def at(values: Array, t: int) -> Value:
    """Take what belongs to step t."""
    return values[t]


AT: Family = {
    "at_before": (lambda v, t: v[t - 1], "step t - 1 in place of step t"),
    "at_before_kept": (lambda v, t: v[max(t - 1, 0)], "step t - 1 in place of step t"),
    "at_after": (lambda v, t: v[min(t + 1, len(v) - 1)], "step t + 1 in place of step t"),
    "at_after_zero": (
        lambda v, t: v[t + 1] if t + 1 < len(v) else 0 * v[t],
        "step t + 1 in place of step t",
    ),
    "at_after_wrapped": (lambda v, t: v[(t + 1) % len(v)], "step t + 1 in place of step t"),
    "at_before_zero": (
        lambda v, t: v[t - 1] if t > 0 else 0 * v[t],
        "step t - 1 in place of step t",
    ),
    "at_first": (lambda v, t: v[0], "first step used at every step"),
    "at_last": (lambda v, t: v[-1], "last step used at every step"),
    "at_reversed": (lambda v, t: v[len(v) - 1 - t], "steps in reverse order"),
    "at_sum": (lambda v, t: v.sum(axis=0), "sum over all steps in place of step t"),
    "at_last_only": (
        lambda v, t: v[t] if t == len(v) - 1 else 0 * v[t],
        "last step alone counted",
    ),
    "at_first_only": (lambda v, t: v[t] if t == 0 else 0 * v[t], "first step alone counted"),
    "at_not_last": (
        lambda v, t: v[t] if t < len(v) - 1 else 0 * v[t],
        "last step left out",
    ),
    "at_not_first": (lambda v, t: v[t] if t > 0 else 0 * v[t], "first step left out"),
    "at_running": (lambda v, t: v[: t + 1].sum(axis=0), "running sum over the steps"),
    "at_running_back": (lambda v, t: v[t:].sum(axis=0), "sum over all later steps added again"),
    "at_not_first_of_several": (
        lambda v, t: v[t] if t > 0 or len(v) == 1 else 0 * v[t],
        "step 0 left out where there are several",
    ),
    "at_mean": (lambda v, t: v[t] / len(v), "divided by the number of steps"),
    "at_divided": (lambda v, t: v[t] / v.shape[1], "divided by the batch size"),
}


def backwards(T: int) -> list[int]:
    """List the steps from the last to the first."""
    return list(range(T - 1, -1, -1))


def forwards(T: int) -> list[int]:
    """List the steps from the first to the last."""
    return list(range(T))


ORDERS: Family = {
    "run_forwards": (forwards, "time run forwards"),
    "run_backwards": (backwards, "time run backwards"),
    "without_first": (lambda T: list(range(T - 1, 0, -1)), "first step left out of the loop"),
    "without_last": (lambda T: list(range(T - 2, -1, -1)), "last step left out of the loop"),
    "first_out": (lambda T: list(range(1, T)), "first step left out of the loop"),
    "last_out": (lambda T: list(range(T - 1)), "last step left out of the loop"),
    "last_alone": (lambda T: [T - 1], "last step alone gone through"),
    "last_two": (lambda T: list(range(T - 1, max(T - 3, -1), -1)), "loop stops after two steps"),
    "first_alone": (lambda T: [0], "first step alone gone through"),
}


def keep(values: Array) -> Array:
    """Leave a sequence as it is."""
    return values


ARRANGED: Family = {
    "in_reverse": (lambda v: v[::-1], "steps in reverse order"),
    "step_early": (lambda v: np.roll(v, -1, axis=0), "stored one step early"),
    "step_late": (lambda v: np.roll(v, 1, axis=0), "stored one step late"),
    "running": (lambda v: np.cumsum(v, axis=0), "running sum over time"),
    "last_everywhere": (lambda v: 0 * v + v[-1], "last step stored at every step: one buffer"),
    "first_everywhere": (lambda v: 0 * v + v[0], "first step stored at every step: one buffer"),
    "rows_reversed": (lambda v: v[:, ::-1], "rows of the batch in reverse order"),
    "last_step_alone": (
        lambda v: np.concatenate([0 * v[:-1], v[-1:]]),
        "last step alone filled, the others zero",
    ),
    "first_step_alone": (
        lambda v: np.concatenate([v[:1], 0 * v[1:]]),
        "first step alone filled, the others zero",
    ),
    "first_step_zero": (lambda v: np.concatenate([0 * v[:1], v[1:]]), "first step left at zero"),
    "last_step_zero": (lambda v: np.concatenate([v[:-1], 0 * v[-1:]]), "last step left at zero"),
    "mean_of_steps": (lambda v: v / len(v), "divided by the number of steps"),
}


def columns(array: Array, parts: int) -> list[Array]:
    """Split the columns of an array."""
    width = array.shape[-1] // parts
    return [array[..., k * width : (k + 1) * width] for k in range(parts)]


SPLITS: Family = {
    "by_unit": (
        lambda array, parts: [array[..., k::parts] for k in range(parts)],
        "taken unit by unit, interleaved, not gate by gate",
    ),
    "by_row": (
        lambda array, parts: list(array.reshape(parts, len(array), -1)),
        "rows of the batch mixed with the gates",
    ),
}


def plus(total: Array, part: Array) -> Array:
    """Add a step to the sum over time."""
    return total + part


SUMS: Family = {
    "overwritten": (lambda total, part: part, "overwritten at each step, not summed over time"),
    "never_added": (lambda total, part: total, "never added up"),
    "added_twice": (lambda total, part: total + 2 * part, "counted twice in the sum over time"),
    "total_twice": (lambda total, part: 2 * total + part, "sum over time added to itself again"),
    "subtracted": (lambda total, part: total - part, "sign in the sum over time"),
    "sum_halved": (lambda total, part: (total + part) / 2, "halved at each step"),
    "largest_step": (
        lambda total, part: np.maximum(total, part),
        "largest step in place of the sum",
    ),
}


def over_classes(e: Array) -> Value:
    """Sum over the classes."""
    return e.sum(axis=1, keepdims=True)


def largest(logits: Array) -> Value:
    """Take the largest logit of every row."""
    return logits.max(axis=1, keepdims=True)


LARGEST: Family = {
    "largest_of_column": (
        lambda logits: logits.max(axis=0, keepdims=True),
        "largest of each column over the batch, not of each row",
    ),
    "largest_added": (lambda logits: -largest(logits), "largest logit added, not taken off"),
}


CLASS_SUMS: Family = {
    "sum_batch": (lambda e: e.sum(axis=0, keepdims=True) + 0 * e, "sum over the batch"),
    "sum_all": (lambda e: e.sum() + 0 * e[:, :1], "sum over the whole array"),
    "mean_classes": (lambda e: e.mean(axis=1, keepdims=True), "mean in place of the sum"),
    "largest_class": (lambda e: e.max(axis=1, keepdims=True), "largest in place of the sum"),
    "squares_sum": (lambda e: (e**2).sum(axis=1, keepdims=True), "squares summed"),
    "root_squares": (
        lambda e: np.sqrt((e**2).sum(axis=1, keepdims=True)),
        "norm in place of the sum",
    ),
    "first_row_sum": (lambda e: e[:1].sum() + 0 * e[:, :1], "sum of the first row for all rows"),
    "last_row_sum": (lambda e: e[-1:].sum() + 0 * e[:, :1], "sum of the last row for all rows"),
    "one_left_out": (lambda e: e[:, 1:].sum(axis=1, keepdims=True), "first class left out"),
    "last_left_out": (lambda e: e[:, :-1].sum(axis=1, keepdims=True), "last class left out"),
}


def pick(values: Array, labels: Array) -> Value:
    """Take the entry of the right class from every row."""
    return values[np.arange(len(labels)), labels]


PICKS: Family = {
    "label_of_first": (lambda v, k: v[:, k[0]], "label of the first row used for all rows"),
    "label_of_last": (lambda v, k: v[:, k[-1]], "label of the last row used for all rows"),
    "label_behind": (lambda v, k: pick(v, np.roll(k, 1)), "label of another row"),
    "label_ahead": (lambda v, k: pick(v, np.roll(k, -1)), "label of another row"),
    "label_reversed": (lambda v, k: pick(v, k[::-1]), "labels in reverse order"),
    "label_less": (lambda v, k: pick(v, k - 1), "label counted from one"),
    "label_more": (lambda v, k: pick(v, (k + 1) % v.shape[1]), "label one too high"),
    "row_number": (
        lambda v, k: v[np.arange(len(k)), np.arange(len(k)) % v.shape[1]],
        "number of the row in place of the label",
    ),
    "labels_of_all": (
        lambda v, k: v[:, k].mean(axis=1),
        "labels of all rows taken from every row",
    ),
    "no_label": (lambda v, k: v[:, 0], "first class in place of the label"),
    "all_labels": (lambda v, k: v.sum(axis=1), "all classes, not the right one alone"),
    "largest_label": (lambda v, k: v.max(axis=1), "largest class in place of the label"),
}


def one_hot(labels: Array, p: Array) -> Value:
    """Put one at the right class of every row, zero elsewhere."""
    return np.eye(p.shape[1])[labels]


MARKS: Family = {
    "mark_first": (lambda k, p: one_hot(0 * k + k[0], p), "label of the first row for all rows"),
    "mark_last": (lambda k, p: one_hot(0 * k + k[-1], p), "label of the last row for all rows"),
    "mark_behind": (lambda k, p: one_hot(np.roll(k, 1), p), "label of another row"),
    "mark_ahead": (lambda k, p: one_hot(np.roll(k, -1), p), "label of another row"),
    "mark_reversed": (lambda k, p: one_hot(k[::-1], p), "labels in reverse order"),
    "mark_less": (lambda k, p: one_hot(k - 1, p), "label counted from one"),
    "mark_more": (lambda k, p: one_hot((k + 1) % p.shape[1], p), "label one too high"),
    "mark_half": (lambda k, p: one_hot(k, p) / 2, "half of one at the right class"),
    "mark_share": (lambda k, p: one_hot(k, p) / len(k), "one divided by B, the rest not"),
    "mark_p": (lambda k, p: one_hot(k, p) * p, "p in place of one at the right class"),
    "mark_all": (lambda k, p: 1 + 0 * p, "one at every class"),
    "mark_columns": (
        lambda k, p: one_hot(k, p).max(axis=0) + 0 * p,
        "one at every class that any row has as its label",
    ),
    "mark_row": (
        lambda k, p: one_hot(np.arange(len(k)) % p.shape[1], p),
        "number of the row in place of the label",
    ),
    "mark_first_class": (lambda k, p: one_hot(0 * k, p), "first class in place of the label"),
    "mark_first_row": (
        lambda k, p: np.concatenate([one_hot(k, p)[:1], 0 * p[1:]]),
        "one in the first row alone",
    ),
    "mark_last_row": (
        lambda k, p: np.concatenate([0 * p[:-1], one_hot(k, p)[-1:]]),
        "one in the last row alone",
    ),
}


def logarithm(v: Array) -> Array:
    """Take the natural logarithm."""
    return np.log(v)


LOGARITHMS: Family = {
    "log_2": (np.log2, "logarithm to base 2"),
    "log_10": (np.log10, "logarithm to base 10"),
    "log_1p": (np.log1p, "one added inside the logarithm"),
    "log_none": (lambda v: v, "logarithm missing"),
}


def average(v: Array) -> Value:
    """Average over the rows."""
    return v.mean()


AVERAGES: Family = {
    "total_rows": (lambda v: v.sum(), "summed over the rows, not averaged"),
    "first_row": (lambda v: v[0], "loss of the first row alone"),
    "last_row": (lambda v: v[-1], "loss of the last row alone"),
    "last_row_share": (lambda v: v[-1] / len(v), "loss of the last row alone, divided by B"),
    "largest_row": (lambda v: v.max(), "largest loss in place of the mean"),
    "median_row": (np.median, "median in place of the mean"),
    "half_mean": (lambda v: v.mean() / 2, "halved"),
    "mean_twice": (lambda v: v.mean() / len(v), "divided by B twice"),
    "minus_mean": (lambda v: -v.mean(), "sign"),
    "less_one": (lambda v: v.sum() / max(len(v) - 1, 1), "divided by B - 1"),
}


def squares(v: Array) -> Value:
    """Sum of squares."""
    return np.sum(v**2)


SIZES: Family = {
    "mean_squares": (lambda v: np.mean(v**2), "mean in place of the sum of squares"),
    "absolute_sum": (lambda v: np.sum(abs(v)), "absolute values in place of squares"),
    "largest_square": (lambda v: np.max(v**2), "largest square in place of the sum"),
    "largest_absolute": (lambda v: np.max(abs(v)), "largest entry in place of the sum of squares"),
    "norms": (lambda v: np.sqrt(np.sum(v**2)), "norms added, not their squares"),
    "plain_sum": (np.sum, "entries summed without squaring"),
    "sum_squared": (lambda v: np.sum(v) ** 2, "sum squared, not the entries"),
    "cubes": (lambda v: np.sum(abs(v) ** 3), "cubes in place of squares"),
    "spectral": (
        lambda v: np.linalg.norm(v, 2) ** 2,
        "largest singular value in place of the norm of the entries",
    ),
    "first_row_squares": (lambda v: np.sum(v[0] ** 2), "first row alone counted"),
    "variance": (np.var, "variance in place of the sum of squares"),
}


def above(norm: Value, bound: Value) -> bool:
    """Return whether the norm exceeds the bound."""
    return bool(norm > bound)


CONDITIONS: Family = {
    "below": (lambda norm, bound: norm < bound, "clipped only below the bound"),
    "always": (lambda norm, bound: norm > 0, "scaled also where the norm is below the bound"),
    "never": (lambda norm, bound: False, "not clipped at all"),
    "above_one": (lambda norm, bound: norm > 1, "norm compared with one, not with the bound"),
    "square_above": (lambda norm, bound: norm**2 > bound, "square compared with the bound"),
    "above_square": (lambda norm, bound: norm > bound**2, "norm compared with the bound's square"),
    "above_twice": (lambda norm, bound: norm > 2 * bound, "norm compared with twice the bound"),
}


def choose(condition: bool, there: Value, otherwise: Value) -> Value:
    """Take one value where the condition holds, and another where it does not."""
    return there if condition else otherwise


def entries(x: Array) -> list[tuple[int, ...]]:
    """List the indices of all entries."""
    return list(np.ndindex(x.shape))


VISITS: Family = {
    "without_last_entry": (lambda x: entries(x)[:-1], "last entry left out of the loop"),
    "without_first_entry": (lambda x: entries(x)[1:], "first entry left out of the loop"),
    "first_row_entries": (lambda x: [k for k in entries(x) if k[0] == 0], "first row alone"),
    "last_row_entries": (
        lambda x: [k for k in entries(x) if k[0] == len(x) - 1],
        "last row alone",
    ),
    "first_column_entries": (lambda x: [k for k in entries(x) if k[1] == 0], "first column alone"),
    "diagonal_entries": (lambda x: [k for k in entries(x) if k[0] == k[1]], "diagonal alone"),
    "no_last_row": (lambda x: [k for k in entries(x) if k[0] < len(x) - 1], "last row left out"),
    "no_last_column": (
        lambda x: [k for k in entries(x) if k[1] < x.shape[1] - 1],
        "last column left out",
    ),
    "no_first_row": (lambda x: [k for k in entries(x) if k[0] > 0], "first row left out"),
}


def as_floats(values: Array, _: Array) -> Array:
    """Keep numbers in an array of floating-point numbers, whatever x holds."""
    return values.astype(float)


DTYPES: Family = {
    "of_dtype_of_x": (
        lambda values, x: values.astype(x.dtype),
        "it has the dtype of x, so that numbers stored in it are truncated where x is whole",
    ),
}


def add_at(x: Array, k: tuple[int, ...], step: Value) -> Array:
    """Move one entry of x."""
    moved = x.copy()
    moved[k] = moved[k] + step
    return moved


MOVES: Family = {
    "whole_row": (
        lambda x, k, step: x + step * (np.arange(len(x)) == k[0])[:, None],
        "whole row moved, not one entry",
    ),
    "whole_column": (
        lambda x, k, step: x + step * (np.arange(x.shape[1]) == k[1]),
        "whole column moved, not one entry",
    ),
    "all_moved": (lambda x, k, step: x + step, "all entries moved at once"),
    "relative": (
        lambda x, k, step: add_at(x, k, step * x[k]),
        "step multiplied with the entry",
    ),
    "replaced": (
        lambda x, k, step: add_at(x, k, step - x[k]),
        "entry replaced by the step, not moved by it",
    ),
    "all_before": (
        lambda x, k, step: x + step * (np.arange(x.size).reshape(x.shape) <= _place(x, k)),
        "entries not put back before the next one",
    ),
    "left_up": (
        lambda x, k, step: add_at(x + abs(step) * _earlier(x, k), k, step),
        "entry left at x + h, not put back before the next one",
    ),
    "left_down": (
        lambda x, k, step: add_at(x - abs(step) * _earlier(x, k), k, step),
        "entry left at x - h, not put back before the next one",
    ),
}


def _place(x: Array, k: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(k, x.shape))


def _earlier(x: Array, k: tuple[int, ...]) -> Value:
    return np.arange(x.size).reshape(x.shape) < _place(x, k)


def two_norm(v: Array) -> Value:
    """Measure by the largest singular value."""
    return np.linalg.norm(v, 2)


NORMS: Family = {
    "frobenius": (np.linalg.norm, "Frobenius norm in place of the 2-norm"),
    "largest_entry": (lambda v: np.max(abs(v)), "largest entry in place of the norm"),
    "row_sums": (lambda v: np.linalg.norm(v, np.inf), "largest row sum in place of the 2-norm"),
    "column_sums": (lambda v: np.linalg.norm(v, 1), "largest column sum in place of the 2-norm"),
    "eigenvalue": (
        lambda v: np.max(abs(np.linalg.eigvals(v))),
        "largest eigenvalue in place of the largest singular value",
    ),
    "smallest": (lambda v: np.linalg.norm(v, -2), "smallest singular value"),
    "square_norm": (lambda v: np.linalg.norm(v, 2) ** 2, "square of the 2-norm"),
    "nuclear": (lambda v: np.linalg.norm(v, "nuc"), "sum of the singular values"),
    "mean_entry": (lambda v: np.mean(abs(v)), "mean entry in place of the norm"),
    "entries_sum": (lambda v: np.sum(abs(v)), "sum of the entries in place of the norm"),
    "determinant": (lambda v: abs(np.linalg.det(v)), "determinant in place of the norm"),
    "trace": (np.trace, "trace in place of the norm"),
    "log_norm": (lambda v: np.log(np.linalg.norm(v, 2)), "logarithm of the norm"),
}


def join(product: Array, jacobian: Array) -> Array:
    """Put the Jacobian of a later step behind the product."""
    return product @ jacobian


JOINS: Family = {
    "other_order": (lambda p, j: j @ p, "factors in the wrong order"),
    "entrywise": (lambda p, j: p * j, "multiplied entry by entry"),
    "newest": (lambda p, j: j, "last Jacobian alone, no product"),
    "sum_of": (lambda p, j: p + j, "added, not multiplied"),
    "turned": (lambda p, j: p @ j.T, "weights transposed, or the slope at the wrong axis of W_h"),
    "turned_other": (lambda p, j: j.T @ p, "one matrix transposed in the product"),
}


def identity(size: int) -> Array:
    """Start a product of matrices."""
    return np.eye(size)


STARTS: Family = {
    "ones": (lambda size: np.ones((size, size)), "matrix of ones in place of the identity"),
    "zeros": (lambda size: np.zeros((size, size)), "zeros in place of the identity"),
    "twice": (lambda size: 2 * np.eye(size), "identity counted twice"),
}


def keep_batches(batches: Value) -> Value:
    """Go through all batches in order."""
    return batches


BATCHES: Family = {
    "first_batch": (lambda b: b[:1], "first batch alone used"),
    "last_batch": (lambda b: b[-1:], "last batch alone used"),
    "without_first_batch": (lambda b: b[1:], "first batch left out"),
    "without_last_batch": (lambda b: b[:-1], "last batch left out"),
    "batches_reversed": (lambda b: b[::-1], "batches in reverse order"),
    "batches_twice": (lambda b: [one for one in b for _ in range(2)], "every batch used twice"),
    "same_batch": (lambda b: [b[0]] * len(b), "first batch used every time"),
}


def same_order(z_x: Array, z_h: Array, *_: Array) -> Value:
    """Leave the products with x and h_prev as they are."""
    return z_x, z_h


STACKS: Family = {
    "other_stack": (
        lambda z_x, z_h, x, h, W_x, W_h: (
            np.hstack([h, x]) @ np.concatenate([W_x, W_h]),
            0 * z_h,
        ),
        "states and inputs stacked in one order, their weights in the other",
    ),
}


def as_stacked(for_x: Array, for_h: Array, _axis: int) -> Value:
    """Cut the results for x and h from their stack where one ends and the other begins."""
    return for_x, for_h


def _cut_first(first: Array, second: Array, size: int, axis: int) -> list[Array]:
    return np.split(np.concatenate([first, second], axis), [size], axis)


CUTS: Family = {
    "x_cut_first": (
        lambda x, h, axis: _cut_first(h, x, x.shape[axis], axis),
        "stacked with h before x, and cut as if x came before h",
    ),
    "h_cut_first": (
        lambda x, h, axis: _cut_first(x, h, h.shape[axis], axis)[::-1],
        "stacked with x before h, and cut as if h came before x",
    ),
}


def side_by_side(parts: list[Array]) -> Value:
    """Put the columns of one gate after those of another."""
    return parts


LAYOUTS: Family = {
    "interleaved": (
        lambda parts: columns(np.stack(parts, -1).reshape(len(parts[0]), -1), len(parts)),
        "columns of the gates interleaved, unit by unit",
    ),
    "whole": (
        lambda parts: [np.trunc(part) for part in parts],
        "stored in an array of whole numbers, which truncates them",
    ),
}


def before_product(dr: Array, dcand: Array, m: Array, dz_n: Array, *_: Array) -> Value:
    """Reset the state before its product with W_hn."""
    return dr, dcand, m, dz_n


RESETS: Family = {
    "after_product": (
        lambda dr, dcand, m, dz_n, r, h, W: (dz_n * (h @ W), dz_n * r @ W.T, h, dz_n * r),
        "gradient of a GRU that resets after the product with W_hn, not before it",
    ),
}


def every_step(b: Array, *_: int) -> Array:
    """Add the bias at every step."""
    return b


BIASES: Family = {
    "bias_first": (lambda b, t, T: b * (t == 0), "added at step 0 alone"),
    "bias_not_first": (lambda b, t, T: b * (t > 0), "not added at step 0"),
    "bias_last": (lambda b, t, T: b * (t == T - 1), "added at the last step alone"),
    "bias_not_last": (lambda b, t, T: b * (t < T - 1), "not added at the last step"),
    "bias_growing": (lambda b, t, T: b * (t + 1), "added again for every step so far"),
    "bias_divided": (lambda b, t, T: b / T, "divided by the number of steps"),
}


def none_yet(like: Array, *_: Array) -> Array:
    """Start from nothing."""
    return 0 * like


BEGINNINGS: Family = {
    "last_already": (
        lambda like, d: d[-1] + 0 * like,
        "dhs of the last step already in it, so that it is counted twice",
    ),
    "first_already": (lambda like, d: d[0] + 0 * like, "dhs of step 0 in it"),
    "all_already": (lambda like, d: d.sum(axis=0) + 0 * like, "sum of dhs in it"),
    "ones_already": (lambda like, d: 1 + 0 * like, "ones in it"),
    "state_already": (lambda like, d: like, "h0 in it"),
}


def by_rows(shifted: Array, e: Array, total: Array, p: Array, *_: Array) -> Value:
    """Normalise over the classes of each row."""
    return shifted, e, total, p


def _over_batch(*arguments: Array) -> Value:
    logits = arguments[-1]
    shifted = logits - logits.max(axis=0)
    e = np.exp(shifted)
    total = e.sum(axis=0, keepdims=True)
    return shifted, e, total, e / total


DIRECTIONS: Family = {
    "over_batch": (_over_batch, "softmax over the batch, not over the classes"),
}


def newest(current: Value, *_: Value) -> Value:
    """Take the parameters of the last update."""
    return current


STALE: Family = {
    "initial": (
        lambda current, initial: initial,
        "those from before the first update used every time",
    ),
}


def inside(v: Value) -> Value:
    """Move what is exactly 0, 1 or -1 a little, so that a quotient has its limit there."""
    return v * (1 - 1e-9) + 1e-9 * (v == 0)


FAMILIES: dict[Function, Family] = {
    same_order: STACKS,
    as_stacked: CUTS,
    side_by_side: LAYOUTS,
    before_product: RESETS,
    every_step: BIASES,
    none_yet: BEGINNINGS,
    by_rows: DIRECTIONS,
    newest: STALE,
    sigmoid: ACTIVATIONS,
    np.tanh: ACTIVATIONS,
    dsigmoid: SLOPES,
    dtanh: SLOPES,
    pair: PAIRS,
    back: BACKS,
    rows: ROWS,
    before: BEFORE,
    at: AT,
    backwards: ORDERS,
    forwards: ORDERS,
    keep: ARRANGED,
    columns: SPLITS,
    plus: SUMS,
    largest: LARGEST,
    over_classes: CLASS_SUMS,
    pick: PICKS,
    one_hot: MARKS,
    logarithm: LOGARITHMS,
    average: AVERAGES,
    squares: SIZES,
    above: CONDITIONS,
    entries: VISITS,
    as_floats: DTYPES,
    add_at: MOVES,
    two_norm: NORMS,
    join: JOINS,
    identity: STARTS,
    keep_batches: BATCHES,
}

NAMES: dict[str, Value] = {
    function.__name__: function for function in (*FAMILIES, choose) if function.__name__ != "tanh"
}
# the underscore keeps them apart from what a form computes
NAMES |= {
    f"{key}_": variant for family in FAMILIES.values() for key, (variant, _) in family.items()
}
NAMES["np"] = np
NAMES["_inside"] = inside
