"""What a diagnosis has to go by."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.diagnosis.compare import close, noise_floor, truncated
from npylstm.exercises.diagnosis.program import Line, Program
from npylstm.exercises.tasks import Task
from npylstm.exercises.trials import Outputs, Trial, split_gates


@dataclass(frozen=True, eq=False)
class Evidence:
    """An answer's results block by block, in every trial.

    Parameters
    ----------
    task : Task
    trials : sequence of Trial
    answers : sequence of dict
        The blocks of the answer, trial by trial.
    deadline : float
        When to stop looking, by `time.process_time`.
    """

    task: Task
    trials: Sequence[Trial]
    answers: Sequence[Outputs]
    deadline: float

    @cached_property
    def rights(self) -> list[Outputs]:
        """The right blocks, trial by trial."""
        return [split_gates(self.task, trial.right) for trial in self.trials]

    @property
    def right(self) -> Outputs:
        """The right blocks of the first trial."""
        return self.rights[0]

    @cached_property
    def floors(self) -> list[float]:
        """Below which size numbers count as zero, trial by trial."""
        return [noise_floor(right) for right in self.rights]

    @cached_property
    def wrong_in(self) -> list[set[str]]:
        """Which blocks are wrong, trial by trial."""
        return [
            {b for b in right if not self.same(number, b, right[b])}
            for number, right in enumerate(self.rights)
        ]

    @cached_property
    def whole(self) -> list[str]:
        """Which blocks hold whole numbers, of an integer dtype, in some trial."""
        return [b for b in self.right if any(a[b].dtype.kind in "iu" for a in self.answers)]

    @cached_property
    def wrong(self) -> set[str]:
        """Which blocks are wrong in some trial, even for whole numbers where they hold such."""
        return set().union(*self.wrong_in)

    @cached_property
    def order(self) -> list[int]:
        """The trials that show something first, of these the small ones."""
        sizes = [trial.size for trial in self.trials]
        return sorted(
            range(len(sizes)),
            key=lambda k: (not self.wrong_in[k], sizes[k].T * sizes[k].B),
        )

    @cached_property
    def _largest(self) -> list[dict[str, tuple[int, float]]]:
        """Where the largest number of each block stands, and what it is, trial by trial."""
        found = []
        for answer in self.answers:
            places = {b: int(np.argmax(abs(a))) for b, a in answer.items() if a.size}
            found.append({b: (k, float(answer[b].flat[k])) for b, k in places.items()})
        return found

    def same(self, number: int, block: str, said: Array) -> bool:
        """Whether a block has these numbers in a trial; one number tells most others apart.

        An array of whole numbers can hold them only truncated.
        """
        got, floor = self.answers[number][block], self.floors[number]
        if said.shape != got.shape or not said.size:
            return bool(said.shape == got.shape)
        if got.dtype.kind in "iu":
            return truncated(got, said)
        place, value = self._largest[number].get(block, (0, np.nan))
        if np.isfinite(value) and abs(said.item(place) - value) > 2e-3 * max(abs(value), floor):
            return False
        return close(got, said, floor)

    @cached_property
    def small(self) -> int:
        """Number of the smallest trial with several steps and rows."""
        sizes = [trial.size for trial in self.trials]
        several = [k for k, size in enumerate(sizes) if size.T > 1 and size.B > 1 and not size.edge]
        return min(several, key=lambda k: sizes[k].T * sizes[k].B)

    def reach(self, program: Program, line: Line, number: int) -> set[str] | None:
        """Which blocks depend on a line in a trial; None where it can't be told."""
        key = program.text, line.number, number
        if key not in self._reaches:
            self._reaches[key] = program.reach(self.task, self.trials[number], line)
        return self._reaches[key]

    @cached_property
    def _reaches(self) -> dict[tuple[str, int, int], set[str] | None]:
        return {}

    def telling(self, block: str) -> bool:
        """Return whether a block has wrong numbers other than zero and not-a-number."""
        return any(
            block in wrong and np.all(np.isfinite(answer[block])) and np.any(answer[block])
            for wrong, answer in zip(self.wrong_in, self.answers, strict=True)
        )
