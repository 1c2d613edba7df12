"""What a type checker tells a user of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import PIECE, ROOT

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
