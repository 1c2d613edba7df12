"""The `npylstm` command: what it prints, the exit codes, and one line for every mistake."""

import csv
import errno
import gzip
import io
import json
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
from standin_digits import write_digits
from threadpoolctl import threadpool_info, threadpool_limits

import npylstm
from npylstm import bench, experiments
from npylstm.cells.lstm import LSTMCell
from npylstm.cli import main
from npylstm.data import fetch
from npylstm.exercises.sources import solved
from npylstm.terminal import in_options, quoted
from npylstm.training.optimizers import Adam, RMSProp
from npylstm.training.runs import Run
from npylstm.training.settings import CELL_KINDS, OPTIMIZERS, RunSettings
from npylstm.training.trainer import Trainer

HOME = Path(npylstm.__file__).parents[1]
QUICK = ["--hidden-size", "4", "--batch-size", "1000", "--epochs", "2"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _without_pictures(monkeypatch):
    monkeypatch.setattr(Run, "draw", lambda self: [])


def refused(capsys, *arguments):
    """Run the command, see that it stops with code 2 and one line, and return that line."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("npylstm")
    return err


# train


def test_train_ends_with_a_summary_and_a_run_folder(capsys):
    assert main(["train", *QUICK]) == 0
    (folder,) = Path("runs").iterdir()
    out, _ = capsys.readouterr()
    assert "test accuracy" in out
    assert str(folder) in out
    assert {"config.json", "history.csv", "model.npz", "curves.png"} <= {
        path.name for path in folder.iterdir()
    }


@pytest.mark.usefixtures("_without_pictures")
def test_progress_bar_shows_epoch_loss_accuracy_and_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["train", *QUICK]) == 0
    bar = sys.stderr.getvalue().replace("\r", "\n").splitlines()[-1]
    for part in ("epoch 2/2", "100 %", "left", "loss 2.", "accuracy "):
        assert part in bar


@pytest.mark.usefixtures("_without_pictures")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_run_trains_on_so_many_threads_of_blas_and_leaves_them_as_they_were(monkeypatch, threads):
    def of_blas():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen, before = [], of_blas()
    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda *given: seen.append(of_blas()) or step(*given))
    assert main(["train", *QUICK, "--threads", str(threads)]) == 0
    assert seen
    assert all(numbers == [threads] * len(before) for numbers in seen)
    assert of_blas() == before


def test_every_option_reaches_the_settings(monkeypatch):
    given = []
    monkeypatch.setattr(
        "npylstm.cli.Run.create", lambda settings, out: given.append((settings, out)) or 1 / 0
    )
    options = (
        "--cell gru --layers 2 --cell-options reset_after=true activation=relu --bidirectional "
        "--residual --input-keep-prob .9 --output-keep-prob .8 --state-keep-prob .7 "
        "--variational batch --hidden-size 5 "
        "--activation tanh --forget-bias 2 --kernel-initializer normal:0.1 "
        "--recurrent-initializer orthogonal --optimizer rmsprop --epochs 3 --batch-size 7 "
        "--shuffle --clip-value 1 --clip-norm 2 --learning-rate .01 --decay .5 --momentum .4 "
        "--epsilon 1e-6 --centered --convention torch --nesterov --beta1 .3 --beta2 .2 --seed 6 "
        "--dtype float64 --device auto --path fused --threads 2 --data /mnist "
        "--checkpoint-interval 4 --out here"
    )
    with pytest.raises(ZeroDivisionError):
        main(["train", *options.split()])
    (settings, out) = given[0]
    assert out == "here"
    assert settings == RunSettings(
        cell="gru",
        layers=2,
        cell_options={"reset_after": True, "activation": "relu"},
        bidirectional=True,
        residual=True,
        input_keep_prob=0.9,
        output_keep_prob=0.8,
        state_keep_prob=0.7,
        variational="batch",
        hidden_size=5,
        activation="tanh",
        forget_bias=2.0,
        kernel_initializer="normal:0.1",
        recurrent_initializer="orthogonal",
        optimizer="rmsprop",
        epochs=3,
        batch_size=7,
        shuffle=True,
        clip_value=1.0,
        clip_norm=2.0,
        learning_rate=0.01,
        decay=0.5,
        momentum=0.4,
        epsilon=1e-6,
        centered=True,
        convention="torch",
        nesterov=True,
        beta1=0.3,
        beta2=0.2,
        seed=6,
        dtype="float64",
        device="auto",
        path="fused",
        threads=2,
        data="/mnist",
        checkpoint_interval=4,
    )


@pytest.mark.usefixtures("_without_pictures")
def test_ctrl_c_saves_and_says_how_to_go_on(capsys, monkeypatch):
    assert main(["train", *QUICK, "--out", "whole"]) == 0
    step, calls = Trainer.step, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert main(["train", *QUICK, "--out", "my run"]) == 130
    assert "npylstm train --resume 'my run'" in capsys.readouterr().err
    assert main(["train", "--resume", "my run"]) == 0
    for name in ("history.csv", "model.npz"):
        assert Path("my run", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
def test_ctrl_c_in_a_terminal_stops_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "npylstm", "train", "--hidden-size", "4", "--out"]
    run = subprocess.Popen(
        [*command, str(tmp_path / "run")],
        cwd=HOME,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (tmp_path / "run" / "history.csv").exists() and run.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 130
    assert err == f"stopped and saved; to go on: npylstm train --resume {tmp_path / 'run'}\n"


def test_divergence_ends_with_one_line_and_code_1(capsys):
    options = ["--optimizer", "sgd", "--learning-rate", "3e38"]
    assert main(["train", *QUICK, *options]) == 1
    err = capsys.readouterr().err
    assert "at step" in err
    assert "--learning-rate" in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("_without_pictures")
def test_a_full_disk_ends_with_one_line_that_says_how_to_go_on(capsys, monkeypatch):
    step = Trainer.step

    def fill_the_disk(*arguments):
        monkeypatch.setattr(os, "fsync", full)
        return step(*arguments)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", fill_the_disk)
        assert main(["train", *QUICK, "--out", "run"]) == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "npylstm train --resume run" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--epochs 0", "--epochs must be a positive integer, got 0"),
        ("--hidden-size 1000000000000", "--hidden-size and --layers must make a network that"),
        ("--layers 1000000", "--layers must be a finite number in [1, 1000], got 1000000"),
        ("--epochs many", "argument --epochs: invalid int value: 'many'"),
        ("--hidden-size -3", "--hidden-size must be a positive integer, got -3"),
        ("--batch-size 0", "--batch-size must be a positive integer, got 0"),
        ("--batch-size 10001", "--batch-size must be at most the 10000 training sequences"),
        ("--learning-rate 0", "--learning-rate must be"),
        ("--learning-rate nan", "--learning-rate must be"),
        ("--clip-norm -1", "--clip-norm must be"),
        ("--seed -1", "--seed must be a non-negative integer, got -1"),
        ("--checkpoint-interval 0", "--checkpoint-interval must be"),
        ("--output-keep-prob 1.5", "--output-keep-prob must be"),
        (
            "--residual",
            "--residual adds inputs from the second layer on: --layers must be 2 at least",
        ),
        ("--variational batch", "--variational batch needs something to drop: --input-keep-prob"),
        ("--variational all", "argument --variational: invalid choice: 'all'"),
        ("--threads 0", "--threads must be a positive integer, got 0"),
        ("--activation swish", "argument --activation: invalid choice: 'swish'"),
        ("--cell transformer", "argument --cell: invalid choice"),
        ("--cell rnn --forget-bias 1", "RNNCell has no setting --forget-bias"),
        ("--cell-options peepholes", "must read NAME=VALUE, got 'peepholes'"),
        (
            "--cell-options peepholes=true",
            "--cell-options: LSTMCell has no setting peepholes; it has hidden_size, forget_bias",
        ),
        ("--cell-options =3", "argument --cell-options: must read NAME=VALUE, got '=3'"),
        ("--cell-options forget_bias=[1", "--cell-options: 'forget_bias' must be a finite number"),
        ("--cell-options hidden_size=x", "--cell-options: 'hidden_size' must be an integer"),
        ("--cell-options kernel_initializer=zero", "--cell-options: 'kernel_initializer' must be"),
        ("--cell leaky:np", "--cell must name a module and a Cell in it, got 'leaky:np': "),
        ("--cell sys:path", "--cell must name a module and a Cell in it, got 'sys:path': "),
        ("--cell os:PathLike", "--cell must name a module and a Cell in it, got 'os:PathLike': "),
        ("--out ''", "train: argument --out: must name a file or a folder, got ''"),
        ("--resume ''", "train: argument --resume: must name a file or a folder, got ''"),
        ("--data ''", "--data must name a folder with the four files of MNIST, got ''"),
        ("--nope 3", "npylstm train: unrecognized arguments: --nope 3 (see npylstm train --help)"),
        ("--recurrent-initializer zeros", "--recurrent-initializer must be"),
        ("--data nowhere", "no such folder: nowhere"),
        ("--data empty", "lacks train-images-idx3-ubyte"),
        ("--out empty", "empty exists already, and nothing is overwritten"),
        ("--out file/run", "Not a directory: file/run"),
        ("--resume nowhere", "No such file or directory: nowhere/config.json"),
        ("--resume empty", "No such file or directory: empty/config.json"),
        ("--resume empty --seed 3", "--resume keeps the run's settings"),
        ("--resume empty --out x", "--resume keeps the run's settings"),
    ],
)
def test_bad_options_get_one_line_and_leave_nothing_behind(capsys, options, message):
    Path("empty").mkdir()
    Path("file").write_text("mine")
    assert message in refused(capsys, "train", *shlex.split(options)).replace(f"{Path.cwd()}/", "")
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "file"]


def test_a_folder_without_permission_gets_one_line(capsys, monkeypatch):
    def denied(self, *args, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    assert "Permission denied: somewhere" in refused(capsys, "train", *QUICK, "--out", "somewhere")


def test_gpu_without_cupy_gets_one_line_that_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    line = refused(capsys, "train", "--device", "gpu")
    assert "--device gpu cannot be used" in line


def damaged(name, content):
    """Copy the sample to a folder, with one of its files replaced."""
    sample = Path(npylstm.__file__).parent / "data" / "sample"
    shutil.copytree(sample, "mnist")
    (path,) = Path("mnist").glob(f"{name}*")
    path.unlink()
    Path("mnist", name).write_bytes(content)


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"PNG!" + bytes(100), "magic number 0x504e4721"),
        ("train-images-idx3-ubyte", idx(np.zeros((3, 28, 28)))[:-1], "but only 2351 follow"),
        ("t10k-images-idx3-ubyte", gzip.compress(bytes(999))[:-9], "t10k-images-idx3-ubyte"),
        ("train-labels-idx1-ubyte", idx([1, 2, 3]), "holds 10000 images, but"),
        ("t10k-labels-idx1-ubyte", idx([3] * 1999 + [10]), "labels must be 0 to 9, got 10 at 1999"),
    ],
)
def test_damaged_data_get_one_line(capsys, name, content, message):
    damaged(name, content)
    assert message in refused(capsys, "train", "--data", "mnist")
    assert not Path("runs").exists()


@pytest.mark.usefixtures("_without_pictures")
def test_a_damaged_checkpoint_gets_one_line_and_stays(capsys):
    assert main(["train", *QUICK, "--out", "run"]) == 0
    capsys.readouterr()
    path = Path("run", "checkpoint.npz")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert "is damaged" in refused(capsys, "train", "--resume", "run")
    assert path.read_bytes() == content


def test_mistakes_of_the_package_itself_keep_their_traceback(monkeypatch):
    def broken(*arguments):
        raise ValueError("a bug")

    monkeypatch.setattr(Trainer, "step", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["train", *QUICK])


# The other commands


def test_gradcheck_prints_a_table_for_every_cell_and_finds_them_right(capsys, monkeypatch):
    monkeypatch.setattr(
        "npylstm.cli.CELL_KINDS", {name: CELL_KINDS[name] for name in ("lstm", "gru")}
    )
    assert main(["gradcheck"]) == 0
    out, _ = capsys.readouterr()
    for part in ("lstm\n", "gru\n", "W_h[f]", "entries checked", "complex", "central", "ok"):
        assert part in out
    assert out.endswith("every gradient is right\n")


def test_gradcheck_ends_with_code_1_when_a_gradient_is_wrong(capsys, monkeypatch):
    right = LSTMCell.backward

    def wrong(*arguments):
        dx, dstate, grads = right(*arguments)
        return dx, dstate, grads | {"W_h": 1.001 * grads["W_h"]}

    monkeypatch.setattr(LSTMCell, "backward", wrong)
    assert main(["gradcheck", "--cell", "lstm"]) == 1
    out, _ = capsys.readouterr()
    assert "WRONG" in out
    assert out.endswith("wrong: lstm\n")  # and the fused kernel, which is right, is not named


@pytest.mark.parametrize("name", CELL_KINDS)
def test_gradcheck_passes_for_every_cell(name, capsys):
    assert main(["gradcheck", "--cell", name]) == 0


def test_fetch_says_where_the_files_are(capsys, monkeypatch):
    monkeypatch.setattr(fetch, "fetch_mnist", lambda: Path("/cache/mnist"))
    assert main(["fetch", "mnist"]) == 0
    assert "npylstm train --data /cache/mnist" in capsys.readouterr().out


def test_fetch_that_fails_gets_its_reasons_and_code_2(capsys, monkeypatch):
    def fails():
        raise ConnectionError("no mirror delivered train-images-idx3-ubyte")

    monkeypatch.setattr(fetch, "fetch_mnist", fails)
    assert "no mirror delivered" in refused(capsys, "fetch", "mnist")


def test_devices_say_what_is_there_and_why_not(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["devices"]) == 0
    cpu, *gpu = capsys.readouterr().out.splitlines()
    assert cpu == f"cpu  usable: NumPy {np.__version__}"
    assert gpu[0].startswith("gpu  not usable: ")
    assert all(len(line) <= 80 for line in gpu)


def test_bench_prints_a_table_and_writes_json(capsys, monkeypatch):
    size = bench.LayerSize(2, 3, 4, 5)
    timings = [bench.Timing(size, "inference", name, 2.0, 1.0, 7) for name in ("fused", "floor")]

    def run_bench(sizes, threads, seconds, device, report):
        assert (sizes, threads, seconds, device) == ([size], None, 0.5, "cpu")
        report(timings)
        return timings

    monkeypatch.setattr(bench, "run_bench", run_bench)
    arguments = ["bench", "--seconds", "0.5", "--json", "times.json", "--size", *"2345"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == bench.table(timings) + "\n"
    assert Path("times.json").read_text() == bench.timings_json(timings)
    assert "times.json exists already" in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--size 28 0 28 128", "must be a positive integer, got '0'"),
        ("--threads -1", "must be a positive integer, got '-1'"),
        ("--seconds 0", "--seconds must be"),
        ("--device gpu", "--device gpu cannot be used: CuPy is not installed"),
    ],
)
def test_bench_refuses_what_cannot_be_timed(capsys, monkeypatch, options, message):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert message in refused(capsys, "bench", *options.split())


def test_experiments_are_listed_and_run(capsys, monkeypatch):
    assert main(["experiment", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(experiments.EXPERIMENTS)
    assert max(map(len, listed)) <= 80

    class Outcome:
        settings = experiments.EXPERIMENTS["adding"].full

        def table(self):
            return "the table"

    called = []
    monkeypatch.setattr(
        experiments.Study,
        "perform",
        lambda study, out, **options: called.append((study.name, out, options)) or Outcome(),
    )
    assert main(["experiment", "adding", "--full", "--seeds", "3", "--out", "here"]) == 0
    assert capsys.readouterr().out.startswith("the table\n")
    options = {"full": True, "seeds": 3, "data": None, "device": "cpu", "executor": None}
    assert called == [("adding", Path("here"), options)]
    for fast in [], ["--fast"]:
        assert main(["experiment", "adding", *fast]) == 0
        assert not called[-1][2]["full"]


def test_experiments_that_are_unknown_or_done_already_get_one_line(capsys):
    assert "experiment must be one of" in refused(capsys, "experiment", "mnist")
    Path("adding.csv").write_text("mine")
    assert "exists already" in refused(capsys, "experiment", "adding", "--out", ".")
    assert "positive integer, got '0'" in refused(capsys, "experiment", "adding", "--seeds", "0")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("adding --data .", "--data must be None for adding, which reads none; got '.'"),
        ("mnist-rows --data nowhere", "no such folder: nowhere"),
        ("mnist-rows --data .", "lacks train-images-idx3-ubyte"),
        ("adding --workers 0", "must be a positive integer, got '0'"),
        ("adding --device tpu", "invalid choice: 'tpu'"),
        ("adding --device gpu", "--device gpu cannot be used: CuPy is not installed"),
        ("long-lag --device gpu", "--device must be 'cpu' or 'auto' for long-lag"),
    ],
)
def test_experiments_refuse_what_they_cannot_use(capsys, monkeypatch, command, message):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert message in refused(capsys, "experiment", *command.split())


def test_exercises_are_listed_handed_out_checked_and_graded(capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HOME))  # for the process that runs the answers
    assert main(["exercises", "list"]) == 0
    assert "lstm_cell_backward(" in capsys.readouterr().out
    assert main(["exercises", "start", "mine"]) == 0
    assert Path(capsys.readouterr().out.split()[0]).exists()
    assert "exists already" in refused(capsys, "exercises", "start", "mine")

    answer = "import numpy as np\ndef sigmoid(z):\n    return 0.5 * np.tanh(0.5 * z) + 0.5\n"
    for name, text in {"right": answer, "wrong": answer.replace("0.5 * z", "z")}.items():
        Path("class").mkdir(exist_ok=True)
        Path("class", f"{name}.py").write_text(text)
    assert main(["exercises", "check", "class/right.py"]) == 0
    assert main(["exercises", "check", "class/wrong.py"]) == 1
    assert "sigmoid" in capsys.readouterr().out
    assert main(["exercises", "grade", "class"]) == 0
    assert "grades.csv" in capsys.readouterr().out
    with Path("grades.csv").open(newline="") as file:
        assert [(row["submission"], row["points"]) for row in csv.DictReader(file)] == [
            ("right.py", "1.00"),
            ("wrong.py", "0.00"),
        ]
    assert "exists already" in refused(capsys, "exercises", "grade", "class")
    assert "there is no folder" in refused(capsys, "exercises", "grade", "nowhere")


def command(*arguments, encoding="utf-8", unbuffered=False, **options):
    """Run the command in a process of its own, whose standard output has an encoding."""
    unbuffered = ["-u"] if unbuffered else []
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(HOME)}
    environment.pop("PYTHONUNBUFFERED", None)
    return subprocess.run(
        [sys.executable, *unbuffered, "-m", "npylstm", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE} | options,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-16"])
@pytest.mark.parametrize(
    "arguments",
    ["--help", "train --help", "exercises list", "experiment list", "gradcheck --cell rnn"],
)
def test_every_terminal_can_show_help_and_results(arguments, encoding):
    done = command(*arguments.split(), encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.decode(encoding)) > 100


def test_a_terminal_without_a_letter_gets_a_question_mark(capsys, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "cp1252", newline="")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(npylstm.cli, "_list_exercises", lambda: print("φ ≤ é \udcff") or 0)
    assert main(["exercises", "list"]) == 0
    assert stream.buffer.getvalue() == "? ? é ?\n".encode("cp1252")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("arguments", ["exercises list", "train --help", "devices"])
def test_an_output_that_cannot_be_written_is_told_once(arguments, unbuffered):
    with Path("/dev/full").open("w") as full:
        done = command(*arguments.split(), unbuffered=unbuffered, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"npylstm: cannot write to standard output: No space left on device\n"


class Gone(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.EINVAL, "Invalid")]
)
def test_a_reader_that_has_gone_is_no_error_on_any_system(monkeypatch, capsys, error):
    monkeypatch.setattr(sys, "stdout", Gone(error))
    assert main(["exercises", "list"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("_without_pictures")
def test_a_run_whose_reader_has_gone_is_complete_and_says_nothing_else(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Gone(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert main(["train", *QUICK, "--out", "run"]) == 0
    assert capsys.readouterr().err == ""
    assert Path("run/model.npz").exists()


def test_ctrl_c_ends_every_command_with_code_130(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(npylstm.cli, "_devices", interrupted)
    assert main(["devices"]) == 130


def test_commands_compute_on_one_thread_of_blas(monkeypatch):
    seen = []

    def look():
        pools = threadpool_info()
        seen.extend(pool["num_threads"] for pool in pools if pool["user_api"] == "blas")
        return 0

    monkeypatch.setattr(npylstm.cli, "_devices", look)
    with threadpool_limits(2, user_api="blas"):
        assert main(["devices"]) == 0
    assert set(seen) <= {1}


def test_a_closed_standard_output_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["devices"]) == 0


def test_a_disk_that_fills_while_pictures_are_drawn_is_told_with_the_file(capsys, monkeypatch):
    fsync = os.fsync

    def full(descriptor):
        if list(Path("run").glob("curves.png*")):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert main(["train", *QUICK, "--out", "run"]) == 1
    err = capsys.readouterr().err
    assert err.count("No space left on device") == err.count("\n") == 1
    assert str(Path("run", "curves.png")) in err
    assert not list(Path("run").glob("curves.png*"))


def test_few_digits_are_refused_in_words_of_the_command_line(capsys):
    write_digits(Path("few"), n=100)
    line = refused(capsys, "train", "--data", "few")
    assert "--batch-size must be at most the 92 training sequences, got 128" in line


@pytest.mark.usefixtures("_without_pictures")
def test_a_folder_of_less_than_five_thousand_digits_can_be_trained_on(capsys):
    write_digits(Path("few"), n=100)
    options = ["--data", "few", "--batch-size", "90", "--hidden-size", "4", "--epochs", "1"]
    assert main(["train", *options]) == 0


@pytest.mark.parametrize("rate", ["10", "1e10"])
def test_a_learning_rate_at_which_nothing_can_come_of_it_gets_advice(capsys, rate):
    options = ["--hidden-size", "4", "--epochs", "2", "--learning-rate", rate]
    assert main(["train", *options]) == 1
    err = capsys.readouterr().err
    assert "guessing" in err
    assert "try a smaller --learning-rate, or --clip-norm 1" in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("_without_pictures")
def test_a_run_that_ends_worse_than_guessing_gets_the_same_advice(capsys):
    options = ["--optimizer", "sgd", "--learning-rate", "10", "--hidden-size", "28"]
    assert main(["train", *options, "--epochs", "1", "--out", "run"]) == 1
    out, err = capsys.readouterr()
    assert "test accuracy" in out
    assert "worse than guessing; try a smaller --learning-rate" in err


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("hidden_size must be 3", "--hidden-size must be 3"),
        ("path='unroll' takes threads = 1", "--path unroll takes --threads 1"),
        ("device='gpu' cannot be used: no data", "--device gpu cannot be used: no data"),
        ("no such folder: /data/hidden_size", "no such folder: /data/hidden_size"),
        ("params['hidden_size'] must be", "params['hidden_size'] must be"),
        ("A has no hidden_size; it has hidden_size", "A has no --hidden-size; it has hidden_size"),
        ("data must be a path", "--data must be a path"),
    ],
)
def test_names_of_arguments_become_options_and_nothing_else(message, shown):
    names = {"hidden_size", "path", "threads", "device", "data"}
    options = {name: f"--{name.replace('_', '-')}" for name in names}
    assert in_options(message, options) == shown


@pytest.mark.parametrize(
    ("platform", "path", "shown"),
    [
        ("linux", "my run", "'my run'"),
        ("darwin", "it's", "'it'\"'\"'s'"),
        ("win32", "my run", '"my run"'),
        ("win32", "R&D", '"R&D"'),
        ("win32", r"C:\runs\lstm28", r"C:\runs\lstm28"),
    ],
)
def test_hints_can_be_pasted_into_the_shell_of_the_system(monkeypatch, platform, path, shown):
    monkeypatch.setattr(sys, "platform", platform)
    assert quoted(path) == shown


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break another way")
def test_output_may_be_cut_off_by_head():
    done = subprocess.run(
        f"{sys.executable} -m npylstm exercises list | head -1",
        shell=True,
        cwd=HOME,
        capture_output=True,
        text=True,
    )
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["gradcheck", "-h"]])
def test_help_is_there(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "npylstm" in "".join(capsys.readouterr())


def test_help_of_train_names_every_setting_and_its_default(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    options, _, _ = capsys.readouterr().out.partition("run folder:")
    entries = " ".join(options.split()).split(" --")
    shown = {
        setting.name: entry.partition("(default: ")[2]
        for setting in fields(RunSettings)
        for entry in entries
        if f"{entry} ".startswith(f"{setting.name.replace('_', '-')} ")
    }
    kinds = [(RunSettings, {}), *CELL_KINDS.values(), *((kind, {}) for kind in OPTIMIZERS.values())]
    for kind, preset in kinds:
        for option in fields(kind):
            default = preset.get(option.name, option.default)
            if option.name in shown and default not in (None, False, MISSING):
                assert str(default) in shown[option.name], (kind, option.name)
    assert shown.keys() == {setting.name for setting in fields(RunSettings)}
    flags = {"bidirectional", "residual", "shuffle", "centered", "nesterov"}
    assert {name for name, default in shown.items() if not default} == flags
    for optimizer in RMSProp(), RMSProp(convention="torch"), Adam():
        assert str(optimizer.epsilon) in shown["epsilon"]


def test_commands_import_matplotlib_only_where_they_draw():
    code = (
        "import sys; from npylstm.cli import main; main(['devices']); "
        "sys.exit(bool({'matplotlib', 'tqdm', 'torch'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=HOME)


def test_python_m_npylstm_is_the_command():
    command = [sys.executable, "-m", "npylstm", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HOME)
    assert done.stdout == f"npylstm {npylstm.__version__}\n"


@pytest.mark.usefixtures("_without_pictures")
def test_settings_in_the_run_folder_are_those_that_were_given():
    assert main(["train", *QUICK, "--seed", "7", "--out", "run"]) == 0
    settings = json.loads(Path("run/config.json").read_text())["settings"]
    assert settings["seed"] == 7
    assert settings["hidden_size"] == 4
    assert settings["optimizer"] == "rmsprop"


def test_figures_are_listed_and_made(capsys, tmp_path):
    assert main(["figure", "list"]) == 0
    assert "cliff" in capsys.readouterr().out
    assert main(["figure", "cliff", "--fast", "--out", str(tmp_path)]) == 0
    assert "picture:" in capsys.readouterr().out
    assert (tmp_path / "cliff.png").read_bytes().startswith(b"\x89PNG")
    assert "exists already" in refused(capsys, "figure", "cliff", "--out", str(tmp_path))


@pytest.mark.parametrize("kind", ["figure", "experiment"])
def test_a_picture_is_refused_in_place_of_the_folder_to_save_in(kind, capsys, tmp_path):
    name = {"figure": "cliff", "experiment": "parity"}[kind]
    said = refused(capsys, kind, name, "--out", str(tmp_path / "x.png"))
    assert "folder" in said
    assert not list(tmp_path.iterdir())


def test_an_unknown_figure_is_refused_with_those_there_are(capsys):
    said = refused(capsys, "figure", "rainbow")
    assert "figure must be one of the names that `npylstm figure list` prints" in said
    assert "did you mean cliff?" in refused(capsys, "figure", "clif")


@pytest.mark.parametrize(
    "command", ["figure cliff --out", "bench --json", "explain --out", "course start"]
)
def test_an_empty_name_is_not_taken_for_the_present_folder(capsys, command):
    assert "must name a file or a folder, got ''" in refused(capsys, *command.split(), "")
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("_without_pictures")
def test_a_run_that_was_begun_with_other_versions_says_so(capsys):
    assert main(["train", *QUICK, "--out", "run"]) == 0
    assert main(["train", "--resume", "run"]) == 0
    assert "begun" not in capsys.readouterr().err
    config = Path("run", "config.json")
    config.write_text(config.read_text().replace(np.__version__, "1.26.0"))
    assert main(["train", "--resume", "run"]) == 0
    assert capsys.readouterr().err.count("was begun with npylstm") == 1


def test_a_check_says_more_when_it_is_asked_to_and_keeps_to_the_width(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = solved("lstm_cell_backward").replace("df * f * (1 - f)", "df * i * (1 - i)")
    Path("mine.py").write_text("import numpy as np\n" + text)
    said = []
    for level in "123":
        assert main(["exercises", "check", "mine.py", "--hint", level]) == 1
        said.append(capsys.readouterr().out)
        assert max(map(len, said[-1].splitlines())) <= 80
    assert ["in place of" in one for one in said] == [False, True, True]
    assert ["Look at" in one for one in said] == [False, False, True]
    assert ["add --hint" in one for one in said] == [True, True, False]
    assert "are they the ones that you use?" in " ".join(said[2].split())


@pytest.mark.parametrize(
    "arguments", ["train --cell lstmm", "exercises check x --task sigmod", "trian"]
)
def test_a_wrong_word_is_answered_with_those_it_is_close_to(capsys, arguments):
    said = refused(capsys, *arguments.split())
    assert "did you mean" in said
    assert len(said) < 160


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("exercises check nowhere", "FILE: there is no file nowhere"),
        ("explain --digit 99999", "npylstm: --digit must be"),
    ],
)
def test_a_message_names_what_the_help_names(capsys, arguments, message):
    assert message in refused(capsys, *arguments.split())
