"""The course's notebooks, and the command that hands them out; help, and completion in a shell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npylstm.cli import main
from npylstm.course import notebooks, start_course


def test_the_notebooks_are_found_in_their_order():
    names = [path.name for path in notebooks()]
    assert names == sorted(names)
    assert names[0] == "01_one_neuron_in_time.ipynb"
    assert len(names) >= 11


def test_the_course_is_copied_whole(tmp_path):
    copies = start_course(tmp_path / "new" / "course")
    assert [copy.name for copy in copies] == [path.name for path in notebooks()]
    for copy, original in zip(copies, notebooks(), strict=True):
        assert json.loads(copy.read_text("utf-8")) == json.loads(original.read_text("utf-8"))


def test_a_student_s_own_notebook_is_not_overwritten_and_nothing_else_is_copied(tmp_path, capsys):
    (tmp_path / "02_checking_a_gradient.ipynb").write_text("my work")
    with pytest.raises(SystemExit) as ended:
        main(["course", "start", str(tmp_path)])
    assert ended.value.code == 2
    assert "02_checking_a_gradient.ipynb exists already" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["my work"]


def test_a_folder_that_is_a_file_is_named(tmp_path, capsys):
    (tmp_path / "course").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["course", "start", str(tmp_path / "course")])
    assert ended.value.code == 2
    assert str(tmp_path / "course") in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["exercises"], ["course"]])
def test_a_command_alone_says_what_there_is(command, capsys):
    assert main(command) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) > 5
    assert not said.err


def complete(line):
    """Return what a shell offers at the end of `line`."""
    environment = os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    environment |= {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "IFS": "\n"}
    read, write = os.pipe()
    code = "import os, sys\nfrom npylstm.cli import main\nmain()"
    environment["_ARGCOMPLETE_STDOUT_FILENAME"] = f"/dev/fd/{write}"
    command = [sys.executable, "-c", code]
    subprocess.run(command, env=environment, pass_fds=[write], check=False, timeout=60)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as answers:
        return answers.read().replace("\x0b", "\n").split()


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs /dev/fd")
def test_a_shell_completes_commands_and_options():
    pytest.importorskip("argcomplete")
    assert complete("npylstm tra") == ["train"]
    assert "--hidden-size" in complete("npylstm train --hid")
