"""How long grading takes: generated submissions, each with every exercise and two known mistakes.

python tests/benchmarks/grading.py SUBMISSIONS WORKERS
"""

import json
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from npylstm.exercises import TASKS, grade
from npylstm.exercises.mistakes import MISTAKES
from npylstm.exercises.sources import solved


def submission(rng):
    """Write all answers, two of them with a mistake."""
    texts = {name: solved(name) for name in TASKS}
    for name in rng.choice([name for name in TASKS if MISTAKES.get(name)], 2, replace=False):
        for right, wrong in rng.choice(np.array(MISTAKES[name], object)).edits.items():
            texts[name] = texts[name].replace(right, wrong, 1)
    return ["import numpy as np", *texts.values()]


def generate(folder, number):
    """Write half of them as Python files, half as notebooks."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for n in range(number):
        parts = submission(rng)
        if n % 2:
            cells = [{"cell_type": "code", "source": part} for part in parts]
            (folder / f"{n:04}.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
        else:
            (folder / f"{n:04}.py").write_text("\n\n\n".join(parts))


def cpu():
    """Seconds of a core that finished child processes have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    """Grade, and print submissions a minute and seconds of a core."""
    number, workers = map(int, sys.argv[1:])
    marks = [cpu()]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "class")
        generate(folder, number)
        begin = time.monotonic()
        with ThreadPoolExecutor(workers) as executor:
            reports = grade(
                folder,
                Path(scratch, "grades.csv"),
                executor=executor if workers > 1 else None,
                progress=lambda _done, _total, _name: marks.append(cpu()),
            )
        seconds = time.monotonic() - begin
    print(f"{number} submissions, {workers} workers: {60 * number / seconds:.0f} a minute")
    print(f"seconds of a core, mean: {(cpu() - marks[0]) / number:.2f}")
    if workers == 1:
        print(f"seconds of a core, median: {np.median(np.diff(marks[1:])):.2f}")
    named = [r.mistakes for one in reports for r in one.results.values() if not r.ok]
    print(f"wrong answers: {len(named)}, with a mistake named: {sum(map(bool, named))}")


if __name__ == "__main__":
    main()
