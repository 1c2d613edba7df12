"""Plant mistakes in the package, one at a time, and see whether the default tests notice.

    python tests/mutation/run.py                     all of them
    python tests/mutation/run.py cells/lstm.py       those in one file, or in several
    python tests/mutation/run.py --jobs 4            four at a time
    python tests/mutation/run.py --sample 50         fifty of them, other ones every time

Each is planted in a copy of its own; the working tree is not touched. The exit code is 1 if the
tests pass over a mistake that is not listed as equivalent. At the end stand the slowest of those
tests that were the first to notice nothing: what they cost, and may not be worth.
"""

import argparse
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
from xml.etree import ElementTree

from mistakes import EQUIVALENT, MISTAKES, TESTS

ROOT = Path(__file__).parents[2]
PATIENCE = 900
"""Seconds after which the tests are stopped; a mistake that makes a loop endless is noticed too."""

SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
"""The tests of the sound tree leave compiled files, and the copies for the mistakes have them."""


def copy(tree: Path, folder: Path) -> None:
    """Copy all that the tests need."""
    for part in ("npylstm", "tests"):
        shutil.copytree(tree / part, folder / part)
    shutil.copy(tree / "setup.cfg", folder)


def first_failure(tree: Path, names: Iterable[str], log: str = os.devnull) -> str:
    """Run some tests in a tree, with a log in XML; return what failed first, or nothing."""
    tests = [f"tests/test_{name}.py" for name in names]
    try:
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--junitxml={log}",
                *tests,
            ],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree), **SETTINGS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return "the tests come to no end"
    if result.returncode == 0:
        return ""
    failures = [line for line in result.stdout.splitlines() if line[:6] in ("FAILED", "ERROR ")]
    return failures[0] if failures else f"exit code {result.returncode}: {result.stderr[-200:]}"


def plant(tree: Path, mistake: tuple[str, str, str]) -> str:
    """Return what the tests of a file notice first in a copy of `tree` with the mistake in it."""
    file, old, new = mistake
    with tempfile.TemporaryDirectory() as folder:
        copy(tree, Path(folder))
        path = Path(folder, "npylstm", file)
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        return first_failure(Path(folder), TESTS[file])


def seconds_of_tests(log: Path) -> dict[str, float]:
    """Return how long each test function took, over all its cases: `test_x::test_name`."""
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(log).iter("testcase"):
        file = case.get("classname", "").rpartition(".")[-1]
        name = f"{file}::{case.get('name', '').partition('[')[0]}"
        seconds[name] = seconds.get(name, 0) + float(case.get("time", 0))
    return seconds


def print_idle_tests(seconds: dict[str, float], failures: list[str]) -> None:
    """Name the slowest tests that were the first to notice nothing."""
    found = (re.search(r"(test_\w+)\.py::(\w+)", failure) for failure in failures)
    busy = {f"{match[1]}::{match[2]}" for match in found if match}
    idle = sorted((s, name) for name, s in seconds.items() if name not in busy)[::-1]
    print("the slowest tests that were the first to notice nothing:")
    for taken, name in idle[:10]:
        print(f"  {taken:6.1f} s  {name}")


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
    names, log = sorted({name for file in files for name in TESTS[file]}), tree / "log.xml"
    if failure := first_failure(tree, names, str(log)):
        raise SystemExit(f"the tests fail without a mistake: {failure}")
    verdicts: list[str] = []
    failures: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        for mistake, failure in zip(
            mistakes, pool.map(partial(plant, tree), mistakes), strict=True
        ):
            known = mistake in EQUIVALENT
            failures.append(failure)
            verdicts.append("noticed" if failure else "equivalent" if known else "SURVIVES")
            file, old, new = mistake
            print(
                f"{verdicts[-1]:10} {file}: {old.strip()!r} -> {new.strip()!r} {failure}",
                flush=True,
            )
    sums = ", ".join(f"{verdicts.count(v)} {v}" for v in ("noticed", "equivalent", "SURVIVES"))
    print(f"{len(mistakes)} mistakes: {sums}; {time.monotonic() - began:.0f} s")
    print_idle_tests(seconds_of_tests(log), failures)
    return verdicts.count("SURVIVES")


def main() -> int:
    """Read the command line, and work on a copy, so that the tree may change meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", default=[*MISTAKES], help="as in mistakes.py")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--sample", type=int, metavar="N", help="only N of them, drawn anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy(ROOT, Path(folder))
        return min(run(Path(folder), options.files, options.jobs, options.sample), 1)


if __name__ == "__main__":
    sys.exit(main())
