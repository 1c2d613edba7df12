"""Which slips give an answer's numbers: one, or one for each part of the results."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType

import numpy as np

from npylstm.exercises.diagnosis.edits import Edit, edits
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.program import Line, Program

COSTS = (range(2), range(2, 4))
"""How far-fetched a slip may be: the plausible ones are looked for first."""

MOST = 3
"""How many slips are told at most."""


@dataclass
class Found:
    """Slips that together give the numbers of some blocks in every trial."""

    form: str
    program: Program
    made: tuple[Edit, ...] = ()
    explained: frozenset[str] = frozenset()
    each: tuple[frozenset[str], ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """How good an explanation it is: of how much, and how plausible."""
        return len(self.explained), -sum(edit.cost for edit in self.made)


def search(evidence: Evidence, program: Program) -> Found:
    """Find the slips: one that explains all, else one after the other, the plausible first."""
    found = Found(program.text, program)
    lines = open_lines(evidence, found)
    for likely in (True, False):
        group = [line for line in lines if _fits(evidence, program, line[0]) == likely]
        for costs in COSTS:
            one = _next(evidence, found, costs, group, evidence.wrong)
            if one:
                return one
    for costs in COSTS:
        tried: set[str] = set()
        while len(found.made) < MOST and not evidence.wrong <= found.explained | tried:
            lines = open_lines(evidence, found)
            target = min(
                sorted(evidence.wrong - found.explained - tried),
                key=lambda block: sum(block in reach for _, reach in lines),
            )
            tried.add(target)
            group = [line for line in lines if target in line[1]]
            found = _next(evidence, found, costs, group, found.explained | {target}) or found
    return found


def _next(
    evidence: Evidence,
    found: Found,
    costs: range,
    lines: list[tuple[Line, set[str]]],
    needed: set[str] | frozenset[str],
) -> Found | None:
    """Find the slip that explains most, and at least what is needed."""
    best: tuple[tuple[int, int], Edit, frozenset[str]] | None = None
    for line, reach in lines if time.process_time() < evidence.deadline else ():
        for edit in candidates(evidence, found.program, line):
            if time.process_time() > evidence.deadline:
                break
            if edit.cost not in costs:
                continue
            explained = explained_by(evidence, found.program, edit, reach, needed)
            if explained is None or not _strong(evidence, explained - found.explained):
                continue
            rank = (len(explained), -edit.cost)
            if best is None or rank > best[0]:
                best = (rank, edit, explained)
    if best is None:
        return None
    _, edit, explained = best
    new = explained - found.explained
    program = found.program.changed(edit.line, edit.text)
    return Found(found.form, program, (*found.made, edit), explained, (*found.each, new))


def open_lines(evidence: Evidence, found: Found) -> list[tuple[Line, set[str]]]:
    """List the lines that reach nothing that is right; of equals, what comes later first."""
    used = {edit.line.number for edit in found.made}
    lines = []
    for line in found.program.lines:
        reach = evidence.reach(found.program, line, evidence.small)
        if reach is None:
            reach = set(evidence.wrong)
        if line.number not in used and reach <= evidence.wrong.union(evidence.whole):
            lines.append((line, reach))
    return sorted(lines, key=lambda pair: (-len(pair[1]), -pair[0].number))


def _fits(evidence: Evidence, program: Program, line: Line) -> bool:
    """Return whether a line reaches just what is wrong, in the small trials."""
    few = {evidence.small, evidence.order[0]}
    return all(evidence.reach(program, line, k) in (None, evidence.wrong_in[k]) for k in few)


def candidates(evidence: Evidence, program: Program, line: Line) -> Iterator[Edit]:
    """Make every slip in a line, worded with what the names of the form stand for."""
    with np.errstate(all="ignore"):
        names = program.names_at(evidence.task, evidence.trials[evidence.small], line)
        spoken = spoken_names(program, evidence.task.arguments)
        spoken |= {
            later.target: f"{spoken.get(later.target, later.target)} from the pass before"
            for later in program.lines
            if later.indent and later.number >= line.number and later.target.isidentifier()
        }
        yield from edits(line, names, spoken)


def spoken_names(program: Program, arguments: Sequence[str]) -> dict[str, str]:
    """Tell what the names of a form are called in a report: by the place that computes them."""
    names: dict[str, str] = {"dc": "the dc that arrives"} if "dc" in arguments else {}
    for line in program.lines:
        if line.target in arguments:
            continue
        if " carried " in line.place:
            what = line.place.partition(" carried ")[0]
            names[line.target] = f"the {what} carried here from the pass before"
        elif line.value.isidentifier():
            names[line.target] = names.get(line.value, line.value)
        elif line.target.isidentifier():
            place, _, part = line.place.partition(", ")
            said = part if part.startswith("the ") else f"{place} ({part})"
            names[line.target] = said if part else place
        else:
            parts = [t for t in line.target.split(", ") if t[:2] == "W_" and t not in arguments]
            names |= {part: f"{part[:3]}[{part[3:]}]" for part in parts}
    return names


def explained_by(
    evidence: Evidence,
    program: Program,
    edit: Edit,
    reach: set[str],
    needed: set[str] | frozenset[str],
) -> frozenset[str] | None:
    """Blocks that a slip gives as the student has them in every trial, the needed among them."""
    try:
        code = compile(edit.text, "<edit>", "exec")
    except SyntaxError:
        return None
    left = set(evidence.wrong)
    for number in evidence.order:
        trial = evidence.trials[number]
        try:
            names = program.run(evidence.task, trial, edit.line, code)
            outputs = {b: np.asarray(names[program.variables[b]]) for b in left}
            left = {b for b in left if evidence.same(number, b, outputs[b])}
        except Exception:  # a slip may make any operation fail
            return None
        if not left & reach or not needed <= left:
            return None
    return frozenset(left) if _spares_the_right(evidence, program, edit, code) else None


def _spares_the_right(evidence: Evidence, program: Program, edit: Edit, code: CodeType) -> bool:
    """Return whether a slip leaves alone what the student has right, in every trial."""
    for number, trial in enumerate(evidence.trials):
        names = program.run(evidence.task, trial, edit.line, code)
        for block in evidence.right.keys() - evidence.wrong:
            if not evidence.same(number, block, np.asarray(names[program.variables[block]])):
                return False
    return True


def _strong(evidence: Evidence, blocks: frozenset[str]) -> bool:
    """Return whether one of the blocks has numbers that say something."""
    return any(evidence.telling(block) for block in blocks)
