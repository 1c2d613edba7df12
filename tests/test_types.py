"""What a type checker tells a user of the package."""

import ast
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from test_docs import PIECE, ROOT
from test_package import FILES
from test_package import ROOT as PACKAGE

WRONG_CALLS = Path(__file__).parent / "typing" / "wrong_calls.py"


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """The numbers of the lines in `wrong_calls.py` that mypy refuses."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("mypy")
    file = shutil.copy(WRONG_CALLS, folder)  # away from the project's settings
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", file]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert said.returncode == 1, said.stdout + said.stderr
    return {int(line) for line in re.findall(r"wrong_calls\.py:(\d+): error", said.stdout)}


def marked():
    lines = WRONG_CALLS.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def test_every_wrong_call_is_refused_by_mypy(refused):
    lines = WRONG_CALLS.read_text(encoding="utf-8").splitlines()
    assert not [lines[number - 1] for number in sorted(marked() - refused)]


def test_no_right_call_is_refused_by_mypy(refused):
    assert not refused - marked()


def reasoned(body):
    """The lines of the aliases in a module's body that a docstring follows."""
    for alias, text in pairwise(body):
        if isinstance(alias, ast.AnnAssign) and isinstance(text, ast.Expr):
            yield from range(alias.lineno, alias.end_lineno + 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_any_stands_only_where_its_reason_stands_beside_it(path):
    source = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    lineno = {n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "Any"}
    bare = lineno - set(reasoned(tree.body))
    assert not [lines[number - 1] for number in sorted(bare) if "  # " not in lines[number - 1]]


def test_the_code_of_these_pages_passes_strict_mypy(tmp_path):
    pytest.importorskip("mypy")
    pages = [ROOT / "README.md", ROOT / "docs" / "develop.md"]
    for page in pages:
        pieces = [piece[piece.lastgroup] for piece in PIECE.finditer(page.read_text("utf-8"))]
        (tmp_path / f"{page.stem}.py").write_text("\n".join(pieces), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "."]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"in {len(pages)} source files" in said.stdout
