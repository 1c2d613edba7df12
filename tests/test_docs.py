"""The documentation: its code runs, its commands are understood, and what it cites is there."""

import code
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from test_package import FLOOR

from npylstm import cli, exercises, experiments

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = READMES + sorted(
    path for path in DOCS.rglob("*.md") if not {"_build", "notebooks"} & set(path.parts)
)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
PIECE = re.compile(
    r"^```python\n(?P<python>.*?)^```$"
    r"|^<!-- given\n(?P<given>.*?)^-->$"
    r"|^<!-- check\n(?P<check>.*?)^-->$"
    r"|^<!-- needs (?P<needs>\w+) -->$"
    r"|^<!-- not run: (?P<idle>.*) -->$",
    re.M | re.S,
)
"""What the test of a page runs, from the top down and in one namespace.

The reader sees the blocks of Python. Comments hold what a block needs (`given`) and what must be
true after it (`check`). The next block is passed over where there is no such module as `needs`
names, and after `not run`, which says why.
"""


def named(paths):
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in paths]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
@pytest.mark.parametrize("path", named(p for p in PAGES if "```python" in p.read_text("utf-8")))
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    text = path.read_text(encoding="utf-8")
    namespace = {"__name__": "__main__"}
    pass_over, passed_over = False, False
    for piece in PIECE.finditer(text):
        kind, source = piece.lastgroup, piece[piece.lastgroup]
        if kind in ("needs", "idle"):
            pass_over = kind == "idle" or importlib.util.find_spec(source) is None
            continue
        if kind != "check":  # which belongs to the block before it
            pass_over, passed_over = False, pass_over
        if not passed_over:
            lines_above = text[: piece.start()].count("\n") + 1
            exec(compile("\n" * lines_above + source, str(path), "exec"), namespace)


class Console(code.InteractiveConsole):
    """A classic interpreter, of which what it complains about is kept."""

    complaints = ""

    def write(self, data):
        self.complaints += data


@pytest.mark.parametrize("path", named(READMES))
def test_the_code_of_a_readme_can_be_pasted_into_an_interpreter(path):
    console = Console()
    for piece in PIECE.finditer(path.read_text(encoding="utf-8")):
        if piece.lastgroup == "python":
            for line in [*piece["python"].splitlines(), ""]:
                console.push(line)
    assert not console.complaints


def shell_lines(text):
    """Every command of a page: the lines of its shell blocks, and code that begins `npylstm `."""
    for language, block in FENCE.findall(text):
        if language == "sh":
            yield from block.splitlines()
    yield from re.findall(r"`(npylstm [^`\n]+)`", FENCE.sub("", text))


@pytest.mark.parametrize("path", named(PAGES))
def test_the_commands_of_a_page_are_understood(path):
    for line in shell_lines(path.read_text(encoding="utf-8")):
        for command in re.split(r"&&|\|", line):
            words = shlex.split(command, comments=True)
            if words and Path(words[0]).name == "npylstm":
                try:
                    cli._parser().parse_args(words[1:])
                except SystemExit:
                    pytest.fail(f"{path.name}: {command.strip()}")


@pytest.mark.parametrize("path", named(READMES))
def test_code_that_a_readme_cites_stands_in_the_file_word_for_word(path):
    cited = re.findall(
        r"^<!-- verbatim: (\S+) -->\n```python\n(.*?)^```$", path.read_text("utf-8"), re.M | re.S
    )
    assert len(cited) == 2
    for file, block in cited:
        lines = [line.strip() for line in (ROOT / file).read_text("utf-8").splitlines()]
        for line in filter(None, map(str.strip, block.splitlines())):
            assert line in lines, line


@pytest.mark.parametrize("path", named(READMES))
def test_the_links_of_a_readme_lead_to_files(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert "//" in target or (path.parent / target).exists(), target


def test_both_readmes_have_the_same_code():
    english, chinese = (
        [(language, re.sub(r"\s*#.*", "", block)) for language, block in FENCE.findall(text)]
        for text in (path.read_text(encoding="utf-8") for path in READMES)
    )
    assert english == chinese


# ------------------------------------------------------------------ what goes stale unseen


@pytest.fixture
def code_lines(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield importlib.import_module("code_lines")
    del sys.modules["code_lines"]


@pytest.mark.parametrize("path", named(sorted(DOCS.glob("derivations/[!i]*.md"))))
def test_a_derivation_ends_in_a_table_of_lines_that_are_in_the_code(path, code_lines):
    table = path.read_text(encoding="utf-8").partition("## Where it stands in the code\n")[2]
    rows = [row for row in table.splitlines() if row.startswith("| $")]
    assert len(rows) >= 5
    for row in rows:
        (citation,) = code_lines.CITATION.findall(row)
        code_lines.line_number(*citation)


def test_a_citation_that_is_gone_or_ambiguous_fails(code_lines):
    with pytest.raises(ValueError, match="no file"):
        code_lines.line_number("npylstm/cells/transformer.py", "x")
    with pytest.raises(ValueError, match="must stand in one line"):
        code_lines.line_number("npylstm/cells/lstm.py", "c = f * c_prev - i * g")
    with pytest.raises(ValueError, match="must stand in one line"):
        code_lines.line_number("npylstm/cells/lstm.py", "return")


def test_the_map_shows_every_room_on_its_floor():
    table = re.findall(r"^\| (\d+) \| (.*?) \|", (DOCS / "develop.md").read_text("utf-8"), re.M)
    shown = {
        room: int(floor) - 1
        for floor, rooms in table
        for room in re.findall(r"`npylstm/(\w+)[./]", rooms)
    }
    assert shown == FLOOR


def test_every_module_is_in_the_reference():
    """But for the insides of exercises and experiments, of which only what they export is shown."""
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("reference/*.rst"))
    named_there = re.findall(r"automodule:: (\S+)", pages)
    described = set(named_there)
    assert len(named_there) == len(described), "a module is described twice"
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ROOT.glob("npylstm/**/[!_]*.py")
        if not {"exercises", "experiments"} & set(path.parts)
    }
    exported = {
        getattr(getattr(room, name), "__module__", room.__name__)
        for room in (exercises, experiments)
        for name in room.__all__
    }
    assert modules | exported <= described


def test_every_figure_is_shown():
    shown = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    shown = re.sub(r"{picture} (\S+)", r"images/\1.png", shown)
    assert [p.name for p in DOCS.glob("images/*") if f"images/{p.name}" not in shown] == []


@pytest.mark.parametrize("path", named(sorted(DOCS.glob("results/*.json"))))
def test_a_result_does_not_tell_where_its_digits_lay(path):
    data = json.loads(path.read_text("utf-8"))["settings"].get("data")
    assert data is None or Path(data).name == data
