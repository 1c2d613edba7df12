"""Exercises of one formula: where a function is called, what divides, which norm is meant."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement, equation_of, joined, question_about
from npylstm.exercises.tasks import Inputs, Task, Value, recorded
from npylstm.exercises.trials import Outputs

Formula = Callable[[Inputs, Outputs], Value]
"""What a result would be: from the arguments, and the other results of the answer."""


def formulas(evidence: Evidence, _: Found, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make a statement on the formula of an exercise that has one."""
    task = evidence.task
    if task.name == "numerical_gradient":
        yield from _differences(evidence, ask)
    elif task.name.startswith("rmsprop_step"):
        yield from _matching(evidence, {"ms": _mean_squares(), "param": _steps(task)}, left)
    elif task.name == "clip_by_global_norm":
        yield from _matching(evidence, {"norm": NORMS}, left)


# ---------------------------------------------------------------- differences


def _differences(evidence: Evidence, ask: Ask) -> Iterator[Statement]:
    """Look at the points where f is called, in every trial."""
    said = set()
    for trial in evidence.trials:
        f, points = recorded(trial.inputs["f"])
        x, h = trial.inputs["x"], trial.inputs["h"]
        ask([f, x, h])
        said.add(_say_points([(point - x) / h for point in points]))
    words = said.pop()
    if words and not said:
        yield Statement(
            "the points where f is called",
            words,
            frozenset({"gradient"}),
            equation_of(evidence.task, "df"),
            question_about(words),
            fact=True,
        )


def _say_points(moves: list[Array]) -> str:
    if not moves:
        return "f is never called"
    counts = [int(np.sum(abs(move) > 1e-6)) for move in moves]
    if max(counts) > 1:
        if min(count for count in counts if count) == moves[0].size:
            return "all entries of x are moved at once"
        return "several entries of x are moved at once: one that was moved is not put back"
    lengths = sorted({float(np.round(move.flat[abs(move).argmax()], 6)) for move in moves})
    if len(np.unique([abs(move).argmax() for move in moves if np.any(move)])) < moves[0].size:
        return "not every entry of x is moved"
    if not {-1.0, 1.0} <= set(lengths) and (min(lengths) >= 0 or max(lengths) <= 0):
        return "x is moved to one side only: these are one-sided differences"
    if not {-1.0, 1.0} <= set(lengths):
        return f"x is moved by {joined(f'{length:g} h' for length in lengths)}"
    return ""


# ---------------------------------------------------------------- formulas


def _matching(
    evidence: Evidence, candidates: Mapping[str, Mapping[str, Formula]], left: set[str]
) -> Iterator[Statement]:
    """Find the one formula that gives a result in every trial."""
    for block in candidates.keys() & left:
        for words, formula in candidates[block].items():
            if words and all(
                evidence.same(number, block, np.asarray(formula(trial.inputs, answer), float))
                for number, (trial, answer) in enumerate(
                    zip(evidence.trials, evidence.answers, strict=True)
                )
            ):
                yield Statement(
                    block,
                    words,
                    frozenset({block}),
                    equation_of(evidence.task, block),
                    question_about(words),
                )
                break


def _mean_squares() -> dict[str, Formula]:
    """Write down sums of the old mean square and of a power of grad."""
    weights: dict[str, Callable[[Inputs], float]] = {
        "decay": lambda a: a["decay"],
        "1 - decay": lambda a: 1 - a["decay"],
        "1": lambda _: 1.0,
        "0": lambda _: 0.0,
        "lr": lambda a: a["lr"],
    }
    powers: dict[str, Callable[[Array], Array]] = {
        "grad²": np.square,
        "grad": lambda grad: grad,
        "|grad|": abs,
    }
    found: dict[str, Formula] = {}
    for old, new, power in product(weights, weights, powers):
        wrong = [
            f"the old ms has the weight {old}" if old != "decay" else "",
            f"{power} has the weight {new}" if new != "1 - decay" else "",
            f"{power} is averaged, not the square" if power != "grad²" else "",
        ]

        def formula(a: Inputs, _: Outputs, old: str = old, new: str = new, p: str = power) -> Value:
            return weights[old](a) * a["ms"] + weights[new](a) * powers[p](a["grad"])

        found[", and ".join(filter(None, wrong))] = formula
    return found


def _steps(task: Task) -> dict[str, Formula]:
    """Write down steps with other denominators, mean squares, numerators and signs."""
    right = "sqrt(ms + eps)" if task.name.endswith("tf1") else "sqrt(ms) + eps"
    under: dict[str, Callable[[Array, float], Array]] = {
        "sqrt(ms) + eps": lambda ms, eps: np.sqrt(ms) + eps,
        "sqrt(ms + eps)": lambda ms, eps: np.sqrt(ms + eps),
        "sqrt(ms + eps²)": lambda ms, eps: np.sqrt(ms + eps**2),
        "sqrt(ms) + sqrt(eps)": lambda ms, eps: np.sqrt(ms) + np.sqrt(eps),
        "sqrt(ms)": lambda ms, _: np.sqrt(ms),
        "ms + eps": lambda ms, eps: ms + eps,
        "(ms + eps)²": lambda ms, eps: (ms + eps) ** 2,
        "ms": lambda ms, _: ms,
        "the larger of sqrt(ms) and eps": lambda ms, eps: np.maximum(np.sqrt(ms), eps),
        "the larger of ms and eps, under a root": lambda ms, eps: np.sqrt(np.maximum(ms, eps)),
        "1": lambda ms, _: np.ones_like(ms),
    }
    which: dict[str, Formula] = {
        "": lambda _, answer: answer["ms"],
        "the old ms divides": lambda a, _: a["ms"],
        "the square of grad divides, not its mean": lambda a, _: a["grad"] ** 2,
    }
    over: dict[str, Callable[[Inputs], Value]] = {
        "": lambda a: a["lr"] * a["grad"],
        "lr is missing": lambda a: a["grad"],
        "the sign of the step is turned round": lambda a: -a["lr"] * a["grad"],
        "grad is squared in the step": lambda a: a["lr"] * a["grad"] ** 2,
        "the step is without grad": lambda a: a["lr"],
        "lr is weighted by 1 - decay": lambda a: a["lr"] * (1 - a["decay"]) * a["grad"],
    }
    found: dict[str, Formula] = {}
    for below, ms, above in product(under, which, over):
        wrong = [ms, above, f"the denominator is {below}" if below != right else ""]

        def formula(
            a: Inputs, answer: Outputs, below: str = below, ms: str = ms, above: str = above
        ) -> Value:
            return a["param"] - over[above](a) / under[below](which[ms](a, answer), a["eps"])

        found[", and ".join(filter(None, wrong))] = formula
    return dict(sorted(found.items(), key=lambda pair: pair[0].count(", and ")))


def _norms(inputs: Inputs) -> list[Value]:
    return [np.sqrt((grad**2).sum()) for grad in inputs["grads"].values()]


def _all(inputs: Inputs) -> Array:
    return np.concatenate([grad.ravel() for grad in inputs["grads"].values()])


NORMS: dict[str, Formula] = {
    "the sum of the squares, without its root": lambda a, _: (_all(a) ** 2).sum(),
    "the norms of the arrays are added": lambda a, _: sum(_norms(a)),
    "the largest norm of one array": lambda a, _: max(_norms(a)),
    "the norm of the last array alone": lambda a, _: _norms(a)[-1],
    "the norm of the first array alone": lambda a, _: _norms(a)[0],
    "the mean of the squares under the root, not their sum": lambda a, _: np.sqrt(
        (_all(a) ** 2).mean()
    ),
    "the sum of absolute values": lambda a, _: abs(_all(a)).sum(),
    "the largest absolute value": lambda a, _: abs(_all(a)).max(),
    "the root of the sum of the norms": lambda a, _: np.sqrt(sum(_norms(a))),
    "the norm after clipping": lambda a, _: min(np.sqrt((_all(a) ** 2).sum()), a["max_norm"]),
}
