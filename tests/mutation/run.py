"""Plant mistakes in the package, one at a time, and see whether the default tests notice.

    python tests/mutation/run.py                     all of them
    python tests/mutation/run.py cells/lstm.py       those in one file, or in several
    python tests/mutation/run.py --jobs 4            four at a time
    python tests/mutation/run.py --sample 50         fifty of them, other ones every time

Each is planted in a copy of its own; the working tree is not touched. First the tests run without
a mistake, and pytest-cov records which lines each of them runs. The tests that run the spoiled
lines go first, the quickest in front. The others of the file follow, because a test that starts
another process leaves no record of what runs there. The first failure ends it.

The exit code is 1 if the tests pass over a mistake that is not listed as equivalent. At the end
stand the slowest of those tests that were the first to notice nothing: what they cost, and may not
be worth.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from coverage import CoverageData
from mistakes import EQUIVALENT, MISTAKES, TESTS

ROOT = Path(__file__).parents[2]
OPTIONS = [
    *("-x", "-q", "-p", "no:cacheprovider"),
    *("-o", "faulthandler_timeout=120", "-o", "faulthandler_exit_on_timeout=true"),
]
"""A test that takes two minutes ends them all: a mistake that makes a loop endless is noticed."""

SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
"""The tests of the sound tree leave compiled files, and the copies for the mistakes have them."""


class Record(NamedTuple):
    """What the tests did in the sound tree; a test is one case, `tests/test_x.py::test_y[case]`."""

    seconds: dict[str, float]
    """How long each test took."""
    lines: CoverageData
    """Which tests ran a line of a file."""


def copy(tree: Path, folder: Path) -> None:
    """Copy all that the tests need."""
    for part in ("npylstm", "tests", "docs", "notebooks"):
        shutil.copytree(tree / part, folder / part)
    shutil.copy(tree / "setup.cfg", folder)


def files_of(names: Iterable[str]) -> list[str]:
    """Return the files with the tests of these names."""
    return [f"tests/test_{name}.py" for name in names]


def first_failure(tree: Path, arguments: list[str]) -> str:
    """Run pytest in a tree; return what failed first, or nothing."""
    paths = str(tree), str(Path(__file__).parent)  # the package, and the plugin beside this file
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), **SETTINGS},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode == 0:
        return ""
    failures = [line for line in result.stdout.splitlines() if line[:6] in ("FAILED", "ERROR ")]
    return failures[0] if failures else f"exit code {result.returncode}: {result.stderr[-200:]}"


def record(tree: Path, tests: list[str]) -> Record:
    """Run the tests in the sound tree, where all must pass, and keep what they did."""
    options = ["--cov=npylstm", "--cov-context=test", "--cov-report=", "--junitxml=log.xml"]
    if failure := first_failure(tree, options + tests):
        raise SystemExit(f"the tests fail without a mistake: {failure}")
    seconds = {}
    for case in ElementTree.parse(tree / "log.xml").iter("testcase"):
        file = case.get("classname", "").replace(".", "/")
        seconds[f"{file}.py::{case.get('name')}"] = float(case.get("time", 0))
    lines = CoverageData(str(tree / ".coverage"))
    lines.read()
    return Record(seconds, lines)


def likely(known: Record, path: Path, old: str, files: list[str]) -> list[str]:
    """Return the tests in some files that run the code `old`, the quickest of a file in front."""
    before, _, _ = path.read_text(encoding="utf-8").partition(old)
    start = before.count("\n") + 1
    tests_of = known.lines.contexts_by_lineno(str(path))
    contexts = {c for n in range(start, start + old.count("\n") + 1) for c in tests_of.get(n, ())}
    tests = {context.rpartition("|")[0] for context in contexts} & known.seconds.keys()
    return [
        test
        for file in files
        for test in sorted(tests, key=known.seconds.__getitem__)
        if test.startswith(f"{file}::")
    ]


def plant(tree: Path, known: Record, mistake: tuple[str, str, str]) -> str:
    """Return what the tests of a file notice first in a copy of `tree` with the mistake in it."""
    file, old, new = mistake
    files = files_of(TESTS[file])
    first = likely(known, tree / "npylstm" / file, old, files)
    with tempfile.TemporaryDirectory() as folder:
        copy(tree, Path(folder))
        path = Path(folder, "npylstm", file)
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        Path(folder, "order.json").write_text(json.dumps(first), encoding="utf-8")
        return first_failure(Path(folder), ["-p", "order", *files])


def print_idle_tests(seconds: dict[str, float], failures: list[str]) -> None:
    """Name the slowest tests that were the first to notice nothing."""
    took: dict[str, float] = {}
    for case, s in seconds.items():
        test = case.partition("[")[0]
        took[test] = took.get(test, 0) + s
    busy = {match[0] for match in (re.search(r"tests/\w+\.py::\w+", f) for f in failures) if match}
    idle = sorted((s, test) for test, s in took.items() if test not in busy)[::-1]
    print("the slowest tests that were the first to notice nothing:")
    for s, test in idle[:10]:
        print(f"  {s:6.1f} s  {test}")


def run(tree: Path, files: list[str], jobs: int, sample: int | None) -> int:
    """Plant and test; print a line for each mistake and the sums; return how many survive."""
    mistakes = [(file, *change) for file in files for change in MISTAKES[file]]
    if sample is not None:
        mistakes = random.sample(mistakes, min(sample, len(mistakes)))
        files = sorted({file for file, _, _ in mistakes})
    for file, old, new in mistakes:
        source = (tree / "npylstm" / file).read_text(encoding="utf-8")
        if source.count(old) != 1:
            raise SystemExit(f"{file}: must occur once, not {source.count(old)} times: {old!r}")
        compile(source.replace(old, new), file, "exec")  # a syntax error would prove nothing

    began = time.monotonic()
    known = record(tree, files_of(sorted({name for file in files for name in TESTS[file]})))
    verdicts: list[str] = []
    failures: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        for mistake, failure in zip(
            mistakes, pool.map(partial(plant, tree, known), mistakes), strict=True
        ):
            missed = "equivalent" if mistake in EQUIVALENT else "SURVIVES"
            failures.append(failure)
            verdicts.append("noticed" if failure else missed)
            file, old, new = mistake
            print(
                f"{verdicts[-1]:10} {file}: {old.strip()!r} -> {new.strip()!r} {failure}",
                flush=True,
            )
    sums = ", ".join(f"{verdicts.count(v)} {v}" for v in ("noticed", "equivalent", "SURVIVES"))
    print(f"{len(mistakes)} mistakes: {sums}; {time.monotonic() - began:.0f} s")
    print_idle_tests(known.seconds, failures)
    return verdicts.count("SURVIVES")


def main() -> int:
    """Read the command line, and work on a copy, so that the tree may change meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", default=[*MISTAKES], help="as in mistakes.py")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--sample", type=int, metavar="N", help="only N of them, drawn anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve()
        copy(ROOT, tree)
        return min(run(tree, options.files, options.jobs, options.sample), 1)


if __name__ == "__main__":
    sys.exit(main())
