"""Factors of a gradient, from calls with one row and one unit and one thing switched on.

With one upstream gradient and one path on, a gradient is often a product of powers of the
quantities of a step. Its logarithm is linear in the exponents, which a few dozen calls give.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.diagnosis.confirm import predicted, written_in
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.probe import Prober, only, upstream_of
from npylstm.exercises.diagnosis.program import Line, names_in
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import (
    Statement,
    equation_of,
    joined,
    list_blocks,
    question_about,
)
from npylstm.exercises.tasks import Inputs, Size, Task
from npylstm.exercises.trials import Outputs, Trial, solve, split_gates

DRAWS, DRAWS_OF_SEQUENCE = 44, 52
FIRST_DRAWS = 3
CONSTANTS = (1.0, 2.0, 0.5, 3.0, 1 / 3, 4.0, 0.25)
SIGMOID, TANH, CELL = "ifours", "ghnt", "c"
ONE_UNIT = "with one row and one unit"
CARRIED = ("dxs", "dh0", "dc0")
MISSING = "what arrives is not passed on"

Exponents = dict[str, float]


@dataclass(frozen=True)
class Term:
    """A part of a result: what one upstream gradient sends to it through one path.

    Parameters
    ----------
    block : str
        Block, as "db[f]".
    gate : str
        The gate whose dz it shows.
    upstream : str
    path : str
        The weights that are switched on; empty where none is.
    carried : bool
        Whether it comes from a later step.
    words : str
        What differs from the right one.
    templates : tuple of str
        What becomes of the value {v} of the line where it happens.
    """

    block: str
    gate: str
    upstream: str
    path: str
    carried: bool
    words: str
    templates: tuple[str, ...]


def factors(evidence: Evidence, found: Found, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make a statement on every factor that is another one than in the right solution."""
    task = evidence.task
    if not task.forward or task.name == "softmax_cross_entropy":
        return
    terms = [term for term in _terms(task, ask) if term.block in left]
    if any(not term.carried for term in terms):
        terms = [term for term in terms if not term.carried]
    groups: dict[str, list[Term]] = {}
    for term in terms:
        groups.setdefault(term.words, []).append(term)
    for words, group in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        place, symbol = _place(task, group)
        statement = Statement(
            place,
            f"{_part(task, group)}{words}",
            frozenset(term.block for term in group),
            equation_of(task, symbol),
            question_about(words),
        )
        sent = {term.upstream for term in group}
        upstream = sent.pop() if len(sent) == 1 and sent < {*upstream_of(task)} else ""
        templates = dict.fromkeys(t for term in group for t in term.templates)
        if words == MISSING and all(term.path for term in group):
            paths = {term.path for term in group}
            statement = predicted(evidence, statement, partial(_without, task, paths))
            yield replace(statement, words=statement.words + _seen(statement))
            continue
        rewritten = partial(_rewritten, templates)
        statement = written_in(evidence, found, statement, rewritten, upstream)
        yield replace(statement, words=statement.words + _seen(statement))


def _seen(statement: Statement) -> str:
    return "" if statement.certain else f" ({ONE_UNIT})"


def _without(task: Task, paths: set[str], trial: Trial) -> Outputs:
    """Give the right results with the weights of some paths set to zero."""
    inputs = dict(trial.inputs)
    if "W_h" in inputs:
        inputs["W_h"] = np.array(inputs["W_h"])
        for k, part in enumerate(np.split(inputs["W_h"], max(1, len(task.gates)), axis=1)):
            if (task.gates[k] if task.gates else "h") in paths:
                part[...] = 0.0
    inputs |= {name: 0 * inputs[name] for name in paths if name.startswith("p_")}
    return split_gates(task, solve(task, inputs))


def _part(task: Task, group: list[Term]) -> str:
    """Say in which part of a result it is, where it is not in all of it."""
    sent, paths = ({getattr(term, kind) for term in group} for kind in ("upstream", "path"))
    part = ""
    if "should not" in group[0].words:
        return part
    if sent == {"dh"} or sent == {"dc"}:
        part = f"in the part that {sent.pop()} sends, " if "dc" in task.arguments else ""
    if "" not in paths and 0 < len(paths) < len(task.gates):
        names = (p if p.startswith("p_") else f"W_h[{p}]" for p in sorted(paths))
        part += f"in the part that comes through {joined(names)}, "
    return part


def _place(task: Task, group: list[Term]) -> tuple[str, str]:
    """Tell where it happens: in dc, in dz of some gates, in what is carried, or in a result."""
    gates = {term.gate for term in group if term.block in ("dx", "dxs", f"db[{term.gate}]")}
    if any(term.carried and term.block in CARRIED for term in group):
        symbol = "dc" if task.gates and any(not term.path for term in group) else "dh"
        return f"{symbol}, what is carried to the step before", symbol
    if {"i", "f", "g"} <= gates and "o" not in gates:
        return "dc", "dc"
    if gates and task.gates:
        found = [f"dz_{gate}" for gate in task.gates if gate in gates]
        return joined(found), gates.pop()
    if any(term.block in ("dx", "dxs", "db") for term in group):
        return "dz", "z"
    blocks = {term.block for term in group}
    return list_blocks(blocks), min(blocks).partition("[")[0]


# ---------------------------------------------------------------- terms


def _terms(task: Task, ask: Ask) -> Iterator[Term]:
    T = 2 if "dhs" in task.arguments else 1
    prober = Prober(task, ask, Size("", T=T, B=1, D=max(1, len(task.gates)), H=1))
    drawn = [_one_gate_a_column(prober.draw(k)) for k in range(_draws(T))]
    paths = [*(task.gates or ("h",) * ("W_h" in task.arguments))]
    paths += [name for name in task.arguments if name.startswith("p_")]
    for name in upstream_of(task):
        for step in range(T):
            said, index = (f"{name}[{step}]", step) if T > 1 else (name, ...)
            bases: list[Pair] | None = None
            for path in ("", *paths):
                settings = [_through(task, only(inputs, name, index), path) for inputs in drawn]
                pairs = _call(prober, settings)
                if not path:
                    bases = pairs or [_right_twice(prober, inputs) for inputs in settings]
                elif bases:
                    pairs = [_less(pair, base) for pair, base in zip(pairs, bases, strict=False)]
                yield from _compare(task, settings, pairs, (said, path, step))


Pair = tuple[Outputs, Outputs]
"""What the answer gives, and what is right."""


def _right_twice(prober: Prober, inputs: Inputs) -> Pair:
    right = prober.right(inputs)
    return right, right


def _less(pair: Pair, base: Pair) -> Pair:
    """Take off what came without the path."""
    got, right = pair
    return {b: got[b] - base[0][b] for b in got}, {b: right[b] - base[1][b] for b in right}


def _draws(T: int) -> int:
    return DRAWS if T == 1 else DRAWS_OF_SEQUENCE


def _call(prober: Prober, settings: list[Inputs]) -> list[Pair]:
    """Call the answer and the right one; nothing where it fails, or is right on the first few."""
    pairs: list[Pair] = []
    for inputs in settings:
        got = prober.got(inputs)
        if got is None:
            return []
        pairs.append((got, prober.right(inputs)))
        if len(pairs) == FIRST_DRAWS and all(map(_same, pairs)):
            return []
    return pairs


def _same(pair: Pair) -> bool:
    got, right = pair
    return all(np.allclose(got[b], right[b], rtol=1e-6, atol=1e-12) for b in right)


def _one_gate_a_column(inputs: Inputs) -> Inputs:
    """Let each column of x see one gate: W_x is diagonal, and x the same in every column."""
    if "W_x" not in inputs:
        return inputs
    x = "xs" if "xs" in inputs else "x"
    same = np.repeat(inputs[x][..., :1], inputs[x].shape[-1], axis=-1)
    return inputs | {x: same, "W_x": np.eye(len(inputs["W_x"])) * inputs["W_x"]}


def _through(task: Task, inputs: Inputs, path: str) -> Inputs:
    """Switch off the recurrent weights, except one gate's column or one peephole."""
    off = {n: np.zeros_like(inputs[n]) for n in inputs if n == "W_h" or n.startswith("p_")}
    if path in task.gates or path == "h":
        k = task.gates.index(path) if task.gates else 0
        off["W_h"][:, k] = inputs["W_h"][:, k]
    elif path:
        off[path] = inputs[path]
    return inputs | off


def _scalars(task: Task, outputs: Outputs) -> dict[tuple[str, str, int], float]:
    """Give the entries that one gate alone reaches, by block, gate and step."""
    found = {}
    for block, array in outputs.items():
        gate = block.partition("[")[2].rstrip("]")
        if block in ("dx", "dxs"):
            for step, row in enumerate(array.reshape(-1, array.shape[-1])):
                for k, value in enumerate(row):
                    found[block, task.gates[k] if task.gates else "", step] = float(value)
        else:
            k = task.gates.index(gate) if gate and len(array.ravel()) > 1 else 0
            found[block, gate, -1] = float(array.ravel()[k])
    return found


def _compare(
    task: Task,
    settings: list[Inputs],
    pairs: list[tuple[Outputs, Outputs]],
    sent: tuple[str, str, int],
) -> Iterator[Term]:
    upstream, path, step = sent
    if not pairs:
        return
    got = [_scalars(task, answer) for answer, _ in pairs]
    right = [_scalars(task, theirs) for _, theirs in pairs]
    quantities = [_quantities(task, inputs) for inputs in settings]
    for label in right[0]:
        mine, theirs = (np.array([one[label] for one in many]) for many in (got, right))
        if np.allclose(mine, theirs, rtol=1e-6, atol=1e-12):
            continue
        products = _fit(quantities, mine), _fit(quantities, theirs)
        words = _difference(*products, upstream)
        if words:
            block, gate, at = label
            carried = "dhs" in settings[0] and at != step
            steps = (step, step - 1) if carried else (step,)
            templates = tuple(filter(None, (_template(*products, now) for now in steps)))
            if "dhs" in settings[0]:
                words = _by_time(words, step)
            yield Term(block, gate, upstream, path, carried, words, templates)


# ---------------------------------------------------------------- quantities and exponents


def _quantities(task: Task, inputs: Inputs) -> dict[str, float]:
    """Name every number of a step that a product may hold, and what is often made of it."""
    found: dict[str, float] = {}
    for name, value in _numbers(task, inputs):
        letter = name[0]
        found[name] = value
        if letter in SIGMOID and not name.startswith("d"):
            found[f"1 - {name}"] = 1 - value
        elif letter in TANH:
            found[f"1 - {name}²"] = 1 - value**2
            found[f"1 - {name}"] = 1 - value
        elif letter == CELL:
            found[f"tanh({name})"] = np.tanh(value)
            found[f"1 - tanh({name})"] = 1 - np.tanh(value)
            found[f"1 - tanh²({name})"] = 1 - np.tanh(value) ** 2
    if "n" in inputs:
        found["h_prev - n"] = float(inputs["h_prev"].item() - inputs["n"].item())
    return {name: value for name, value in found.items() if value != 0}


def _numbers(task: Task, inputs: Inputs) -> Iterator[tuple[str, float]]:
    for name, array in inputs.items():
        if name == "hs" and "cs" in inputs:
            continue  # it is o tanh(c): a product would not be told from it
        if name in ("W_x", "W_h") and task.gates:
            columns = np.max(array, axis=0) + np.min(array, axis=0)
            yield from (
                (f"{name}[{g}]", float(w)) for g, w in zip(task.gates, columns, strict=True)
            )
        elif name == "gates":
            for step, row in enumerate(array[:, 0]):
                yield from (
                    (f"{g}[{step}]", float(v)) for g, v in zip(task.gates, row, strict=True)
                )
        elif array.ndim == 3:
            yield from ((f"{name}[{step}]", float(row[0, 0])) for step, row in enumerate(array))
        else:
            yield name, float(array.flat[0])


def _fit(quantities: list[dict[str, float]], values: Array) -> Exponents | None:
    """Find the exponents and the constant of a product; None where it is none.

    Zero is the product {"0": 1}.
    """
    if not np.any(values):
        return {"0": 1.0}
    names = list(quantities[0])
    table = np.array([[one.get(name, 0.0) for name in names] for one in quantities])
    if not np.all(values) or not np.all(np.isfinite(values)) or not np.all(table):
        return None
    logs = np.column_stack([np.log(abs(table)), np.ones(len(table))])
    solved, _, rank, _ = np.linalg.lstsq(logs, np.log(abs(values)), rcond=1e-10)
    if rank < logs.shape[1]:
        return None
    powers = np.round(2 * solved[:-1]) / 2
    rest = np.log(abs(values)) - logs[:, :-1] @ powers
    constant = min(CONSTANTS, key=lambda one: abs(np.log(one) - rest[0]))
    if np.max(abs(rest - np.log(constant))) > 1e-7 or np.max(abs(powers)) > 4:
        return None
    signs = np.sign(values) * np.prod(np.sign(table) ** np.where(powers % 1, 0, powers), axis=1)
    if abs(signs.sum()) < len(signs):
        return None
    exponents = {name: float(p) for name, p in zip(names, powers, strict=True) if p}
    return exponents | {"constant": constant * float(signs[0])}


# ---------------------------------------------------------------- lines

NOW = {"cs": "c", "hs": "h"} | {gate: gate for gate in "ifog"}
BEFORE = {"cs": "c_prev", "hs": "h_prev"}
"""What a form calls the quantities of the step that it is at, and of the step before."""


def _rewritten(templates: Iterable[str], line: Line) -> Iterator[str]:
    return (template.format(v=line.value) for template in templates)


def _template(mine: Exponents | None, right: Exponents | None, now: int) -> str:
    """Tell what becomes of the value {v} of a line in step `now`; empty where it can't be told."""
    if mine is None or right is None:
        return ""
    if "0" in mine:
        return "0 * ({v})"
    added = "0" in right
    constant = mine["constant"] / (1.0 if added else right["constant"])
    powers = {n: mine.get(n, 0.0) - (not added) * right.get(n, 0.0) for n in mine | right}
    for name in ("constant", "0"):
        powers.pop(name, None)
    factors = [f"({_expression(name, now)})**{p:g}" for name, p in powers.items() if p]
    if any("W_" in factor for factor in factors):
        return ""
    sign = "+" if added else "*"
    body = f"({{v}}) {sign} {' * '.join([repr(constant), *factors])}"
    names = ", ".join(sorted(names_in(body) - {"v"}))
    return f"(lambda {names}: {body})(*map(_inside, ({names},)))" if names else body


def _expression(quantity: str, now: int) -> str:
    """Write a quantity in the names of a form, that of a sequence at the step `now`."""
    text = quantity.replace("tanh²", "tanh").replace("tanh(", "np.tanh(").replace("²", "**2")
    if quantity != quantity.replace("tanh²", ""):
        text += "**2"

    def of_step(match: re.Match[str]) -> str:
        name, step = match[1], int(match[2]) - now
        known = {0: NOW, -1: BEFORE}.get(step, {})
        if name in known:
            return known[name]
        at = f"[min(max(t + {step}, 0), T - 1)]"
        return f"{name}{at}" if len(name) > 1 else f"columns(gates{at}, 4)[{'ifog'.index(name)}]"

    return re.sub(r"(\w+)\[(\d)\]", of_step, text)


# ---------------------------------------------------------------- words


def _by_time(words: str, step: int) -> str:
    """Count the steps from the one at which a gradient arrives: f[1] becomes f_t."""
    said = {0: "t", 1: "t+1", -1: "t-1"}
    for k in range(2):
        words = words.replace(f"[{k}]", "_t" if k == step else f"_{{{said[k - step]}}}")
    return words


def _difference(mine: Exponents | None, right: Exponents | None, upstream: str) -> str:
    """Put the difference of two products into words; empty where one of them is none."""
    if mine is None or right is None or mine == right:
        return ""
    if "0" in mine:
        return MISSING
    if "0" in right:
        return f"it depends on {upstream}, and should not"
    powers = {
        name: mine.get(name, 0) - right.get(name, 0)
        for name in sorted(mine.keys() | right.keys() - {"constant"})
        if name != "constant"
    }
    extra = _product({name: p for name, p in powers.items() if p > 0})
    missing = _product({name: -p for name, p in powers.items() if p < 0})
    said = ""
    if extra and missing:
        said = f"{extra} stands where {missing} belongs"
    elif missing:
        said = f"the {'slope' if '1 -' in missing else 'factor'} {missing} is missing"
    elif extra:
        said = f"the {'slope' if '1 -' in extra else 'factor'} {extra} is one too many"
    factor = mine["constant"] / right["constant"]
    return ", and ".join(filter(None, (said, _constant(factor))))


def _constant(factor: float) -> str:
    sign = "the sign is turned round" if factor < 0 else ""
    return ", and ".join(
        filter(None, (sign, f"it is {abs(factor):g} times too large" if abs(factor) != 1 else ""))
    )


def _product(powers: Mapping[str, float]) -> str:
    """Write a product: i(1 - i), 1 - tanh²(c), x²."""
    left, parts = dict(powers), []
    for name in powers:
        other = f"1 - {name}"
        if left.get(name) == left.get(other) == 1:
            parts.append(f"{name}({other})")
            del left[name], left[other]
    single = len(left) + len(parts) == 1
    for name, power in left.items():
        said = name if (single and power == 1) or " - " not in name else f"({name})"
        parts.append(said if power == 1 else f"{said}^{power:g}")
    return " ".join(parts)
