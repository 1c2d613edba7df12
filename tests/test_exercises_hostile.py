"""Submissions of every kind in one folder: each ends in its own row, and none costs another's."""

import csv
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import npylstm
from npylstm.exercises import TASKS, check_file, grade, submissions
from npylstm.exercises.sources import solved

IMPORT = "import numpy as np\n\n\n"
SIGMOID, TANH = solved("sigmoid"), solved("tanh_backward")
RIGHT = IMPORT + SIGMOID
COPIED = solved("softmax_cross_entropy"), solved("rnn_backward")
SOLUTIONS = str(Path(npylstm.__file__).parent / "exercises" / "solutions.py")
BOTH = RIGHT + "\n\n" + TANH

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def some(*cases, quick=3):
    """Run the first few cases always, and all of them with the slow tests: each is a process."""
    return [*cases[:quick], *(pytest.param(case, marks=pytest.mark.slow) for case in cases[quick:])]


def as_notebook(*cells):
    return json.dumps(
        {"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4}
    )


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def read_rows(table):
    with table.open(encoding="utf-8", newline="") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


def grade_all(folder, tmp_path, **options):
    table = tmp_path / "points.csv"
    reports = grade(folder, table, tasks=["sigmoid", "tanh_backward"], **options)
    rows = read_rows(table)
    assert list(rows) == [report.name for report in reports] or len(rows) == len(reports)
    return rows


def python_file(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---------------------------------------------------------------- what lies in the folder


@posix
def test_whatever_lies_in_the_folder_ends_in_a_row_of_its_own(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "right.py").write_text(BOTH)
    (folder / "capitals.PY").write_text(BOTH)
    (folder / "essay.pdf").write_bytes(b"%PDF-1.4")
    (folder / "dangling.py").symlink_to("nowhere")
    (folder / "loop.py").symlink_to("loop.py")
    (folder / "a\nb.py").write_text(BOTH)
    (folder / "=cmd.py").write_text(BOTH)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.py")).write_text(BOTH)
    os.mkfifo(folder / "pipe.py")
    (folder / "folder.py").mkdir()
    (folder / "folder.py" / "all.py").write_text(BOTH)
    deep = folder / "nbgrader" / "ps1"
    deep.mkdir(parents=True)
    (deep / "activations.ipynb").write_text(as_notebook(BOTH))
    (deep / "link.py").symlink_to(folder / "right.py")
    zipped(folder / "zipped.zip", {"answers/all.py": BOTH, "__MACOSX/._all.py": "\0"})
    (folder / "broken.zip").write_bytes(b"PK\3\4 no zip")
    (folder / "null.py").write_bytes(b"\0\0")
    (folder / "surrogate.py").write_text(RIGHT + "\nraise ValueError('\\udcff \\ud800')\n")
    rows = grade_all(folder, tmp_path)
    points = {name: row["points"] for name, row in rows.items()}
    assert points == {
        "right.py": "2.00",
        "capitals.PY": "2.00",
        "essay.pdf": "0.00",
        "dangling.py": "0.00",
        "loop.py": "0.00",
        r"a\nb.py": "2.00",
        "'=cmd.py": "2.00",
        r"caf\udce9.py": "2.00",
        "pipe.py": "0.00",
        "folder.py": "2.00",
        "nbgrader": "2.00",
        "zipped.zip": "2.00",
        "broken.zip": "0.00",
        "null.py": "0.00",
        "surrogate.py": "1.00",
    }
    for name in ("essay.pdf", "dangling.py", "loop.py", "pipe.py", "broken.zip", "null.py"):
        assert rows[name]["remarks"], name
    assert "symbolic link" in rows["nbgrader"]["remarks"]
    assert r"\udcff \ud800" in rows["surrogate.py"]["remarks"]
    assert all("\n" not in row["remarks"] for row in rows.values())


def test_a_zip_writes_nowhere_else_and_unpacks_no_bomb(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    inner = tmp_path / "inner.zip"
    zipped(inner, {"deep/tanh.py": IMPORT + TANH})
    zipped(
        folder / "slip.zip",
        {
            "../../../evil.py": RIGHT,
            "/tmp/evil.py": RIGHT,
            "C:/evil.py": RIGHT,
            "all.py": RIGHT,
            "inner.zip": inner.read_bytes(),
        },
    )
    zipped(folder / "bomb.zip", {"all.py": BOTH, "zeros.bin": bytes(200 << 20)})
    link = zipfile.ZipInfo("link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("all.py", BOTH)
    rows = grade_all(folder, tmp_path)
    assert {name: row["points"] for name, row in rows.items()} == {
        "slip.zip": "2.00",
        "bomb.zip": "2.00",
        "link.zip": "2.00",
    }
    assert rows["slip.zip"]["remarks"].count("leads out of its archive") == 3
    assert "100 MiB" in rows["bomb.zip"]["remarks"]
    assert "leads out" in rows["link.zip"]["remarks"]
    assert not list(tmp_path.rglob("evil.py"))


def test_a_submission_may_hold_so_many_files_and_bytes_and_no_more(tmp_path):
    many, large = tmp_path / "many", tmp_path / "large"
    many.mkdir()
    large.mkdir()
    for k in range(submissions.MAX_FILES + 1):
        (many / f"{k:04}.py").touch()
    for name in ("a.py", "b.py"):
        (large / name).touch()
        os.truncate(large / name, submissions.MAX_BYTES * 3 // 5)
    for folder, taken in ((many, submissions.MAX_FILES), (large, 1)):
        copy = submissions.make_copy(folder, tmp_path / f"copy of {folder.name}")
        assert len(copy.files) == taken
        assert copy.files == sorted(copy.files)
        assert "was left out: a submission may hold" in copy.remarks[0]


def test_what_the_grader_writes_is_no_submission(tmp_path):
    for name in ("anna.py", "points.csv"):
        (tmp_path / name).touch()
    found = submissions.find_submissions(tmp_path, [tmp_path / "points.csv"])
    assert found == [tmp_path / "anna.py"]


def test_what_lies_too_deep_is_left_out(tmp_path):
    deep = tmp_path.joinpath("deep", *"d" * 14)
    deep.mkdir(parents=True)
    (deep / "a.py").touch()
    copy = submissions.make_copy(tmp_path / "deep", tmp_path / "copy")
    assert not copy.files
    assert "lies too deep" in copy.remarks[0]
    archive = deep / "a.py"
    for k in range(14):
        inner, archive = archive, tmp_path / f"{k}.zip"
        with zipfile.ZipFile(archive, "w") as outer:
            outer.write(inner, inner.name)
    assert not submissions.make_copy(archive, tmp_path / "unpacked").files


def test_a_file_that_can_not_be_read_costs_only_itself(tmp_path, monkeypatch):
    from npylstm.exercises import submissions

    def refuse(source, target):
        if source.name == "secret.py":
            raise PermissionError(13, "Permission denied", str(source))
        return copy(source, target)

    copy = submissions.shutil.copyfile
    monkeypatch.setattr(submissions.shutil, "copyfile", refuse)
    folder = tmp_path / "class"
    (folder / "both").mkdir(parents=True)
    for place in (folder, folder / "both"):
        (place / "secret.py").write_text(BOTH)
    (folder / "both" / "all.py").write_text(BOTH)
    rows = grade_all(folder, tmp_path)
    assert [row["points"] for row in rows.values()] == ["2.00", "0.00"]
    assert all("Permission denied" in row["remarks"] for row in rows.values())


@posix
def test_a_socket_is_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("all.py")
        with pytest.raises(ValueError, match="not an ordinary file"):
            check_file("all.py")


# ---------------------------------------------------------------- how it is encoded


@pytest.mark.parametrize(
    "raw",
    some(
        "\ufeff".encode() + BOTH.encode(),
        BOTH.encode("utf-16"),
        BOTH.encode("utf-16-le"),
        b"# -*- coding: latin-1 -*-\n# caf\xe9\n" + BOTH.encode(),
        b"# caf\xe9\n" + BOTH.encode(),
        BOTH.replace("\n", "\r\n").encode(),
        BOTH.replace("\n", "\r").encode(),
        BOTH.replace("    ", "\t").encode(),
        b"from __future__ import annotations\n" + BOTH.encode(),
        b"from __future__ import annotations\ndef f(x: Unknown): pass\n" + BOTH.encode(),
    ),
)
def test_sources_are_read_however_they_were_saved(tmp_path, raw):
    report = check_file(python_file(tmp_path, raw))
    assert report.points == 2
    assert report.remarks == []


@pytest.mark.parametrize(
    "content",
    ["3", "null", '{"cells": 3}', '{"cells": [{"cell_type": "code", "source": 5}]}', "[" * 100000],
)
def test_json_that_is_no_notebook_is_reported(tmp_path, content):
    path = tmp_path / "mine.ipynb"
    path.write_text(content)
    assert "can't be read" in check_file(path).remarks[0]


def test_a_notebook_of_the_old_format_is_read(tmp_path):
    path = tmp_path / "mine.ipynb"
    cells = [{"cell_type": "code", "input": [BOTH]}]
    path.write_text(json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}))
    assert check_file(path).points == 2


# ---------------------------------------------------------------- how it is written


@pytest.mark.parametrize(
    "cell",
    some(
        "for i in range(3):\n    pass\n    break\nbreak",
        "return 3",
        "x = (1,",
        "def f(:\n    pass",
        "def f():\ndef g():\n    return 1",
        "'''never closed",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "class Mute(Exception):\n    def __str__(self):\n        raise self\nraise Mute",
        "class Mute(BaseException):\n    def __str__(self):\n        return 3\nraise Mute",
        "import sys\nsys.exit(0)",
        "import npylstm.nothing.at_all, no_such_module",
        "1 / 0",
        "def f():\n    f()\nf()",
        "input('name?')",
        "await nothing",
    ),
)
def test_an_error_costs_only_its_own_statement(tmp_path, cell):
    path = tmp_path / "mine.ipynb"
    path.write_text(as_notebook(IMPORT + SIGMOID + "\n" + cell + "\n" + TANH))
    report = check_file(path)
    assert report.points == 2, str(report)
    assert "mine.ipynb, cell 1, line " in report.remarks[0]


@pytest.mark.parametrize(
    "cell",
    some(
        "np.tanh?",
        "?np.tanh",
        "x = !echo here\nassert x == ['here']",
        "!echo here",
        "%timeit -n1 -r1 sum([1])",
        "%%time\nx = 1",
        "%matplotlib inline",
        "%load_ext autoreload\n%autoreload 2",
        "import numpy as np, npylstm",
        "from __future__ import annotations",
        "from npylstm.exercises import check\ncheck('sigmoid', sigmoid)",
        "from npylstm.exercises import check as c\nassert c('sigmoid', sigmoid).ok",
        "display(np.zeros(3))",
        "get_ipython()",
        "import asyncio\nawait asyncio.sleep(0)",
    ),
)
def test_what_works_in_a_notebook_works_here(tmp_path, cell):
    pytest.importorskip("IPython")
    path = tmp_path / "mine.ipynb"
    path.write_text(as_notebook(RIGHT, cell, cell + "\n" + TANH))
    report = check_file(path)
    assert report.remarks == []
    assert report.points == 2


def test_a_cell_with_a_magic_at_its_head_defines_what_stands_below(tmp_path):
    path = tmp_path / "mine.ipynb"
    path.write_text(as_notebook("%%time\n" + RIGHT + "\n1 / 0\n" + TANH))
    report = check_file(path)
    assert report.points == 2
    assert "ZeroDivisionError" in report.remarks[0]


def test_statements_other_than_definitions_count(tmp_path):
    text = (
        "import contextlib\nscale = 1.0\nscale -= 0.5\nfor k in (1,):\n    shift = 0.5\n"
        "with contextlib.nullcontext():\n    import numpy as np\n"
        "def sigmoid(z):\n    return scale * np.tanh(0.5 * z) + shift\n"
    )
    assert check_file(python_file(tmp_path, text)).ok


@pytest.mark.slow
def test_a_long_session_leaves_time_for_the_answers(tmp_path):
    loops = "while True:\n    pass\n" * 30
    report = check_file(python_file(tmp_path, loops + BOTH), time_limit=0.3, total_limit=8)
    assert report.points == 2
    assert any("ran for so long" in remark for remark in report.remarks)


def test_without_ipython_a_notebook_says_what_to_install(tmp_path):
    from npylstm.exercises import running

    script = running.Script({})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "IPython.core.history", None)
        text = running._plain_python("x = 1\n%timeit x\ny = 2", script)
    statements = running._parse(text, "cell", script)
    assert [type(statement).__name__ for statement in statements] == ["Assign", "Assign"]
    assert "pip install 'npylstm[notebooks]'" in script.remarks[0]


# ---------------------------------------------------------------- which answer counts


@pytest.mark.parametrize("wrong", some("1 / (1 + z)", "unknown(z)", "return return"))
def test_a_wrong_answer_counts_more_than_an_untouched_stub(tmp_path, wrong):
    from npylstm.exercises import start

    start(tmp_path / "mine", parts=["activations"])
    path = tmp_path / "mine" / "activations.py"
    head, _, tail = path.read_text().partition('    raise NotImplementedError("sigmoid")')
    path.write_text(head + f"    return {wrong}" + tail)
    report = check_file(tmp_path / "mine")
    assert "sigmoid" not in report.missing
    assert report.files["sigmoid"] == "mine/activations.py"
    assert "mine/activations.py" in str(report)
    assert "written yet" not in report.results["sigmoid"].hint
    assert report.missing[0] == "sigmoid_backward"


def test_the_best_answer_counts_wherever_it_stands(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.py").write_text(RIGHT)
    (folder / "b.ipynb").write_text(as_notebook(RIGHT.replace("+ 0.5", ""), TANH))
    report = check_file(folder)
    assert report.points == 2
    assert report.files == {"sigmoid": "mine/a.py", "tanh_backward": "mine/b.ipynb"}


def test_a_fresh_handout_is_told_in_a_few_lines_what_to_do(tmp_path):
    from npylstm.exercises import start

    start(tmp_path / "mine")
    report = check_file(tmp_path / "mine")
    assert len(str(report).splitlines()) == 3
    assert report.next_step.startswith("Next: write sigmoid, 1 point")
    assert list(report.counted) == list(TASKS)
    assert report.missing == list(TASKS)


def test_points_are_of_what_was_set(tmp_path):
    path = python_file(tmp_path, BOTH)
    report = check_file(path, parts=["activations"])
    assert (report.points, report.possible) == (2, 5)
    assert not report.ok
    assert report.missing == ["sigmoid_backward", "softmax_cross_entropy"]
    with pytest.raises(ValueError, match="part must be one of"):
        check_file(path, parts=["lstn"])
    with pytest.raises(ValueError, match="task must be one of"):
        check_file(path, tasks=["tanh"])


# ---------------------------------------------------------------- what it does


@pytest.mark.parametrize(
    "spoil",
    some(
        "import builtins\nbuiltins.all = builtins.bool = lambda *a: True",
        "np.max = np.all = np.allclose = np.isfinite = lambda *a, **k: True",
        "import sys\nsys.modules['numpy'] = None",
        "import json\njson.dumps = lambda *a, **k: '{}'",
        "import builtins\nbuiltins.print = builtins.len = None",
        "import warnings\nwarnings.simplefilter('error')",
        "np.seterr(all='raise')",
        "print('{\"end\": true}', flush=True)",
        "import os\nos.chdir('/')",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import sys\nsys.setrecursionlimit(20)",
        "import sys\nsys.stdout.close()",
        "open('written.txt', 'w').write('x')",
    ),
)
def test_what_one_statement_changes_does_not_change_the_verdicts(tmp_path, spoil, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = BOTH.replace("+ 0.5", "+ 0.4")
    (tmp_path / "here").mkdir()
    path = python_file(tmp_path / "here", wrong + "\n" + spoil)
    report = check_file(path)
    assert not report.results["sigmoid"].ok
    assert report.results["tanh_backward"].ok, str(report)
    assert not list(tmp_path.rglob("written.txt"))


@posix
@pytest.mark.parametrize(
    "end",
    some(
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.killpg(0, signal.SIGKILL)",
        "ctypes.string_at(0)",
        "raise KeyboardInterrupt",
        "_thread.interrupt_main()",
        "sys.exit()",
        "bytearray(1 << 40)",
        "np.ones(1 << 36)",
        "deep(0)",
    ),
)
@pytest.mark.parametrize("where", ["answer", "statement"])
def test_a_step_that_ends_the_process_costs_only_itself(tmp_path, end, where):
    head = (
        "import _thread, ctypes, os, signal, sys\nimport numpy as np\n"
        "def deep(n):\n    return deep(n + 1) + 1\n"
    )
    if where == "answer":
        answer = f"def sigmoid(z):\n    {end}\n"
        report = check_file(python_file(tmp_path, head + answer + TANH))
        assert not report.results["sigmoid"].ok
        assert report.results["sigmoid"].hint
    else:
        report = check_file(python_file(tmp_path, head + SIGMOID + "\n" + end + "\n" + TANH))
        assert report.results["sigmoid"].ok
    assert report.results["tanh_backward"].ok, str(report)


@posix
def test_a_submission_that_kills_its_parent_kills_only_its_guard(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    kill = (
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.killpg(0, signal.SIGKILL)\n"
    )
    (folder / "a.py").write_text(kill + BOTH)
    (folder / "b.py").write_text(BOTH)
    rows = grade_all(folder, tmp_path, total_limit=20)
    assert rows["b.py"]["points"] == "2.00"
    assert "SIGKILL" in rows["a.py"]["remarks"]


@linux
def test_a_worker_whose_guard_is_gone_is_ended_with_its_group(tmp_path):
    note = tmp_path / "pid"
    text = (
        "import os, signal, time\n"
        f"with open({str(note)!r}, 'a') as file:\n    print(os.getpid(), file=file)\n"
        "os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)\ntime.sleep(600)\n"
    )
    check_file(python_file(tmp_path, text), total_limit=5)
    for process in note.read_text().split():
        state = Path("/proc", process, "stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_the_source_of_a_solution_can_not_be_imported(tmp_path):
    text = (
        "import inspect\nfrom npylstm.exercises import solutions\n"
        "head = 'from __future__ import annotations\\nimport numpy as np\\n'\n"
        "exec(head + inspect.getsource(solutions.sigmoid))\n"
    )
    report = check_file(python_file(tmp_path, text), tasks=["sigmoid"])
    assert report.points == 0
    assert report.remarks


@linux
def test_a_child_in_a_session_of_its_own_is_ended(tmp_path):
    note = tmp_path / "pid"
    text = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        open({str(note)!r}, 'w').write(str(os.getpid()))\n        time.sleep(600)\n"
        "    os._exit(0)\n"
        "time.sleep(0.3)\n"
    )
    assert check_file(python_file(tmp_path, text + BOTH)).points == 2
    assert not Path("/proc", note.read_text()).exists()


@linux
def test_ending_the_grader_ends_its_workers(tmp_path):
    note = tmp_path / "pid"
    text = f"import os\nopen({str(note)!r}, 'w').write(str(os.getpid()))\nwhile True:\n    pass\n"
    path = python_file(tmp_path, text)
    code = f"from npylstm.exercises import check_file\ncheck_file({str(path)!r}, time_limit=99)"
    root = str(Path(npylstm.__file__).parents[1])
    grader = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root})
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    worker = Path("/proc", note.read_text())
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.exists()


@posix
@pytest.mark.slow
def test_memory_and_files_have_a_limit(tmp_path):
    text = (
        "blocks = []\nfor _ in range(64):\n    blocks.append(bytearray(1 << 28))\n"
        "with open('big', 'wb') as file:\n    for _ in range(40):\n"
        "        file.write(bytes(1 << 24))\n"
    )
    report = check_file(python_file(tmp_path, text + BOTH), time_limit=30)
    assert report.points == 2
    assert "MemoryError" in report.remarks[0]
    assert "File too large" in report.remarks[1]


@linux
def test_one_step_beyond_the_limit_of_memory_or_of_a_file_is_refused(tmp_path):
    text = (
        "import mmap\nroom = mmap.mmap(-1, 5 << 30, mmap.MAP_PRIVATE, mmap.PROT_READ)\n"
        "with open('big', 'wb') as file:\n    file.truncate((1 << 28) + 1)\n"
    )
    report = check_file(python_file(tmp_path, text + BOTH))
    assert report.points == 2
    assert "Cannot allocate memory" in report.remarks[0]
    assert "File too large" in report.remarks[1]


def test_students_can_not_import_each_other(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "anna.py").write_text(BOTH)
    for name, module in {"ben.py": "anna", "cleo.py": "class.anna"}.items():
        (folder / name).write_text(f"from {module} import *\nfrom {module} import sigmoid\n")
    rows = grade_all(folder, tmp_path)
    assert [row["points"] for row in rows.values()] == ["2.00", "0.00", "0.00"]


@pytest.mark.parametrize(
    "text",
    [
        IMPORT + "\n\n".join([*COPIED, TANH]).replace("x)", "x )"),
        "import numpy as np\nfrom pathlib import Path\nimport importlib.util\n"
        "text = open(importlib.util.find_spec('numpy').origin).read()\n"
        f"exec(open({SOLUTIONS!r}).read())\n",
    ],
)
def test_the_packages_own_solution_is_marked_for_the_teacher(tmp_path, text):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "copied.py").write_text(text)
    own = "import numpy as np\ndef sigmoid(z):\n    return 0.5 * (1 + np.tanh(z / 2))\n"
    (folder / "own.py").write_text(own)
    table = tmp_path / "points.csv"
    grade(
        folder, table, tasks=["tanh_backward", "softmax_cross_entropy", "rnn_backward", "sigmoid"]
    )
    rows = {row["submission"]: row for row in read_rows(table).values()}
    assert rows["copied.py"]["same as the solution"] == "softmax_cross_entropy, rnn_backward"
    assert rows["own.py"]["same as the solution"] == ""
    assert rows["own.py"]["points"] == "1.00"


def test_a_solution_of_one_line_is_held_against_nobody(tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "anna.py").write_text(BOTH)
    row = grade_all(tmp_path / "class", tmp_path)["anna.py"]
    assert (row["points"], row["same as the solution"]) == ("2.00", "")


def test_solutions_loaded_from_their_file_count_nothing(tmp_path):
    text = (
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('mine', {SOLUTIONS!r})\n"
        "module = u.module_from_spec(spec)\nspec.loader.exec_module(module)\n"
        "sigmoid = module.sigmoid\n"
    )
    report = check_file(python_file(tmp_path, text), tasks=["sigmoid"])
    assert report.points == 0


# ---------------------------------------------------------------- what the worker says


def verdict(**changes):
    fields = {
        "name": "sigmoid",
        "ok": True,
        "score": 1.0,
        "points": 1,
        "blocks": {"s": {"ok": True, "note": ""}},
        "hint": "",
        "mistakes": [],
        "hints": [],
    }
    line = {"step": "a.py: sigmoid", "file": "a.py", "written": True, "copied": False}
    return json.dumps(line | {"result": fields | changes})


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        "3",
        '{"result": 3}',
        verdict(score=2.0),
        verdict(score=float("nan")),
        verdict(score=-1.0, ok=False),
        verdict(score=0.5),
        verdict(points=43),
        verdict(name="everything"),
        verdict(ok="yes"),
        verdict(blocks={"s": True}),
        verdict(mistakes=[3]),
        verdict().replace('"a.py"', '"b.py"'),
        verdict().replace('"written": true', '"written": 1'),
        verdict(name="tanh_backward", points=TASKS["tanh_backward"].points, score="1"),
    ],
)
def test_a_garbled_line_counts_nothing_and_ends_nothing(line):
    from npylstm.exercises.report import Findings

    findings = Findings(["a.py"], list(TASKS))
    findings.read(line + "\n" + verdict(name="tanh_backward") + "\n")
    report = findings.report("a.py", ())
    assert list(report.results) == ["tanh_backward"]
    assert "made no sense" in report.remarks[0]


def test_two_verdicts_on_one_answer_count_nothing():
    from npylstm.exercises.report import Findings

    findings = Findings(["a.py"], list(TASKS))
    findings.read(verdict() + "\n" + verdict(ok=False, score=0.0, blocks={}) + "\n")
    report = findings.report("a.py", ())
    assert report.points == 0
    assert report.remarks


def test_an_answer_that_writes_its_own_report_gains_nothing(tmp_path):
    forged = verdict().replace("a.py", "mine.py")
    text = (
        "import glob, os\ndef sigmoid(z):\n"
        "    for path in glob.glob('/proc/self/fd/*'):\n"
        "        try:\n            if os.readlink(path).endswith('report'):\n"
        f"                os.write(int(path.rsplit('/')[-1]), {(forged + chr(10)).encode()!r})\n"
        "        except OSError:\n            pass\n    return z\n"
    )
    report = check_file(python_file(tmp_path, text))
    assert report.points == 0
