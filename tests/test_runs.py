"""Run folders made to fool, moved, shared or resumed on other data: refused in one sentence."""

import copy
import gzip
import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, fields, replace
from typing import get_args

import numpy as np
import pytest
from standin_digits import write_digits

from npylstm import files
from npylstm.models import checkpoint
from npylstm.training import Run, RunSettings, runs
from npylstm.training.runs import _read_config
from npylstm.training.settings import OPTIMIZERS

ODD = [
    *(None, True, -1, 0, 1, 1.5, 10**9, 10**400, -0.5, math.nan, math.inf, "x", "", "1"),
    *([], [[]], [1], {}, {"a": 1}, [[1, 2.0, 2.0]], [[2, 2.0, 2.0, 0.5]], [None] * 4),
]


@pytest.fixture
def settings(tmp_path):
    write_digits(tmp_path / "digits")
    return RunSettings(
        data=tmp_path / "digits", hidden_size=3, batch_size=10, epochs=4, checkpoint_interval=1
    )


def stopped(settings, folder, steps):
    """Begin a run of three steps an epoch and stop it; return its folder."""
    run = Run.create(settings, folder)

    def stop(state):
        if run.steps[0] == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(stop)
    return folder


def rewrite(folder, change):
    """Change a checkpoint, with a checksum that is sound."""
    path = folder / "checkpoint.npz"
    arrays, meta = checkpoint.load(path)
    change(arrays, meta)
    checkpoint.save(path, arrays, meta)


# What a checkpoint holds


@pytest.mark.parametrize("steps", [3, 5])
def test_odd_meta_data_are_refused_and_the_field_is_named(settings, tmp_path, steps):
    folder = stopped(settings, tmp_path / "run", steps)
    original = {path.name: path.read_bytes() for path in folder.iterdir()}
    _, meta = checkpoint.load(folder / "checkpoint.npz")

    cases = [((name,), value) for name in meta for value in ODD]
    cases += [(("history", 0), value) for value in ODD]
    cases += [(("history", 0, column), value) for column in range(4) for value in ODD]
    for (name, *path), value in cases:
        changed = copy.deepcopy(meta)
        place, last = changed, name
        for key in path:
            place, last = place[last], key
        if place[last] == value and type(place[last]) is type(value):
            continue
        place[last] = value
        (folder / "checkpoint.npz").write_bytes(original["checkpoint.npz"])
        rewrite(folder, lambda arrays, meta, new=changed: (meta.clear(), meta.update(new)))
        if (name == "loss_sum" or len(path) == 2) and type(value) in (int, float):
            continue  # another loss or accuracy is one that a run could have had; or see below
        with pytest.raises(ValueError, match=rf"checkpoint\.npz .*{name}"):
            Run.open(folder)

    for name in meta:
        (folder / "checkpoint.npz").write_bytes(original["checkpoint.npz"])
        rewrite(folder, lambda arrays, meta, name=name: meta.pop(name))
        with pytest.raises(ValueError, match=rf"checkpoint\.npz .*{name}"):
            Run.open(folder)


@pytest.mark.parametrize(
    ("steps", "value"),
    [(3, 1.0), *((steps, v) for steps in (3, 5) for v in (-0.5, math.nan, math.inf, 10**400))],
)
def test_a_sum_of_losses_that_no_steps_have_is_refused(settings, tmp_path, steps, value):
    folder = stopped(settings, tmp_path / "run", steps)
    rewrite(folder, lambda arrays, meta: meta.update(loss_sum=value))
    with pytest.raises(ValueError, match=r"loss_sum after batch \d must be a finite number"):
        Run.open(folder)


@pytest.mark.parametrize("column", ["train_loss", "test_loss", "test_accuracy"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5, 10**400])
def test_losses_and_accuracies_that_no_epoch_has_are_refused(settings, tmp_path, column, value):
    folder = stopped(settings, tmp_path / "run", 7)

    def change(arrays, meta):
        meta["history"][1][["epoch", "train_loss", "test_loss", "test_accuracy"].index(column)] = (
            value
        )

    rewrite(folder, change)
    with pytest.raises(ValueError, match=rf"history\[1\]\.{column} must be a finite number"):
        Run.open(folder)


def test_an_epoch_that_was_never_trained_is_not_recorded(settings, tmp_path):
    folder = stopped(settings, tmp_path / "run", 4)
    rewrite(folder, lambda arrays, meta: meta.update(batch=3))  # of 0, 1 or 2
    with pytest.raises(ValueError, match="batch must be an integer from 0 to 2, got 3"):
        Run.open(folder)


SPOIL = {
    "dtype": lambda a: a.astype("f2"),
    "integers": lambda a: np.ones(a.shape, np.int32),
    "objects": lambda a: np.full(a.shape, "x"),
    "nan": lambda a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a - 99,
    "one more axis": lambda a: a[None],
    "byte order": lambda a: a.astype(a.dtype.newbyteorder()),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("spoil", SPOIL)
def test_odd_arrays_are_refused_and_named(settings, tmp_path, optimizer, spoil):
    rate = {"learning_rate": 0.1, "momentum": 0.9} if optimizer == "sgd" else {}
    folder = stopped(replace(settings, optimizer=optimizer, **rate), tmp_path / "run", 4)
    content = (folder / "checkpoint.npz").read_bytes()
    for name in checkpoint.load(folder / "checkpoint.npz")[0]:
        (folder / "checkpoint.npz").write_bytes(content)
        rewrite(folder, lambda arrays, meta, n=name: arrays.update({n: SPOIL[spoil](arrays[n])}))
        with pytest.raises(ValueError, match=rf"checkpoint\.npz .*{name} must"):
            Run.open(folder)


@pytest.mark.parametrize(
    ("optimizer", "slot", "value"), [("rmsprop", "ms", -1), ("adam", "v", -1), ("adam", "t", 5)]
)
def test_slots_with_which_no_optimiser_can_go_on_are_refused(
    settings, tmp_path, optimizer, slot, value
):
    folder = stopped(replace(settings, optimizer=optimizer), tmp_path / "run", 4)
    name = f"slots/W_h/{slot}"
    rewrite(folder, lambda arrays, meta: arrays.update({name: np.full_like(arrays[name], value)}))
    with pytest.raises(ValueError, match=r"checkpoint\.npz .*slots/W_h"):
        Run.open(folder)


def test_arrays_too_few_or_too_many_are_refused(settings, tmp_path):
    folder = stopped(settings, tmp_path / "run", 4)
    content = (folder / "checkpoint.npz").read_bytes()
    rewrite(folder, lambda arrays, meta: arrays.pop("params/b"))
    with pytest.raises(ValueError, match=r"checkpoint\.npz .*arrays must be .*params/b"):
        Run.open(folder)
    (folder / "checkpoint.npz").write_bytes(content)
    rewrite(folder, lambda arrays, meta: arrays.update(extra=np.ones(3)))
    with pytest.raises(ValueError, match=r"checkpoint\.npz .*arrays must be .*extra"):
        Run.open(folder)


# What the settings say


@pytest.mark.parametrize("setting", fields(RunSettings), ids=lambda setting: setting.name)
def test_odd_settings_in_a_folder_are_refused_and_named_or_have_the_right_type(
    settings, tmp_path, setting
):
    path = tmp_path / "config.json"
    for value in ODD:
        changed = asdict(settings) | {setting.name: value}
        path.write_text(json.dumps({"settings": changed}))
        try:
            again = _read_config(path)[1]
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert setting.name in str(error) or "LSTMCell has no setting a" in str(error)  # noqa: PT017
        else:
            again.trainer()
            got, kinds = getattr(again, setting.name), get_args(setting.type) or (setting.type,)
            kinds += (dict,) if setting.name == "cell_options" else ()
            assert type(got) in kinds


@pytest.mark.parametrize(
    "content", ["[" * 10**5, '{"settings": ' * 10**4, "\x00", "NaN", '{"settings": []}', "1"]
)
def test_settings_that_are_no_settings_are_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json does not hold the settings of a run"):
        Run.open(tmp_path)


def test_numbers_of_numpy_are_settings_like_others(settings, tmp_path):
    numbers = {"hidden_size": np.int64(3), "learning_rate": np.float32(0.01), "shuffle": np.True_}
    run = Run.create(replace(settings, **numbers), tmp_path / "run")
    assert Run.open(run.folder).settings == run.settings


# Data, versions, and others who work on the run


def test_a_run_goes_on_with_its_own_data_alone(settings, tmp_path):
    folder = stopped(settings, tmp_path / "run", 4)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "digits").rename(tmp_path / "mine")
    write_digits(tmp_path / "digits", seed=1)
    with pytest.raises(ValueError, match=r"checkpoint\.npz belongs to other digits than those in"):
        Run.open(folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["train-images", "train-labels", "t10k-images", "t10k-labels"])
def test_one_number_more_or_less_makes_other_data(settings, tmp_path, name):
    folder = stopped(settings, tmp_path / "run", 4)
    (path,) = (tmp_path / "digits").glob(f"{name}*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="other digits"):
        Run.open(folder)


def test_the_same_data_may_be_packed_meanwhile(settings, tmp_path):
    folder = stopped(settings, tmp_path / "run", 4)
    for path in (tmp_path / "digits").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    Run.open(folder).train()


def test_the_versions_with_which_a_run_began_are_kept(settings, tmp_path):
    folder = stopped(settings, tmp_path / "run", 4)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"npylstm": "0.0.1", "numpy": "1.99"}
    path.write_text(json.dumps(config))
    Run.open(folder).train()
    assert json.loads(path.read_text()) == config


def test_a_run_that_is_at_work_is_refused_to_others_and_left_alone(settings, tmp_path):
    run, refusals = Run.create(settings, tmp_path / "run"), []

    def intrude(state):
        before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
        for work in (lambda: Run.open(run.folder, epochs=9), other.train):
            with pytest.raises(BlockingIOError) as refusal:
                work()
            refusals.append(refusal.value.filename)
        assert before == {path.name: path.read_bytes() for path in run.folder.iterdir()}

    other = Run.open(run.folder)
    run.train(intrude)
    assert refusals == [str(run.folder)] * 24
    assert not (run.folder / files.LOCK).exists()
    Run.open(run.folder)


def test_a_run_that_another_has_gone_on_with_is_taken_up_where_it_stands(settings, tmp_path):
    run = Run.create(settings, tmp_path / "run")
    Run.open(run.folder).train()
    before = (run.folder / "checkpoint.npz").read_bytes()
    again = []
    run.train(again.append)
    assert not again
    assert len(run.state.history) == 4
    assert (run.folder / "checkpoint.npz").read_bytes() == before


def test_a_checkpoint_is_written_after_every_so_many_epochs(settings, tmp_path):
    run, saved = Run.create(replace(settings, checkpoint_interval=2), tmp_path / "run"), []

    def look(state):
        _, meta = checkpoint.load(run.folder / "checkpoint.npz")
        saved.append(len(meta["history"]))

    run.train(look)
    assert saved == [*[0] * 5, *[2] * 6, 4]  # three steps an epoch


HOLD = """
import sys, time
from npylstm.files import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(settings, tmp_path):
    run = Run.create(settings, tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, run.folder], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    train = [sys.executable, "-m", "npylstm", "train", "--resume", run.folder]
    refused = subprocess.run(train, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"npylstm: somebody else is working on the run: {run.folder}\n"
    holder.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    holder.communicate()
    assert (run.folder / files.LOCK).exists()  # nobody was there to take it away
    Run.open(run.folder).train()
    assert not (run.folder / files.LOCK).exists()


def test_two_who_lock_and_let_go_again_and_again_never_hold_together(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(300):
            try:
                with files.locked(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except BlockingIOError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


@pytest.mark.parametrize("error", [OSError(95, "not supported"), ImportError("fcntl")])
def test_where_nothing_can_be_locked_a_run_goes_on(settings, tmp_path, monkeypatch, error):
    def fails(descriptor):
        raise error

    monkeypatch.setattr(files, "_lock", fails)
    Run.create(settings, tmp_path / "run").train()


def test_windows_way_to_say_that_a_file_is_locked_is_understood(tmp_path, monkeypatch):
    def denied(descriptor):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_lock", denied)
    with pytest.raises(BlockingIOError, match="somebody else is working"), files.locked(tmp_path):
        pass


def test_of_two_runs_with_one_name_in_the_same_second_both_get_a_folder(
    settings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    replace_exists = type(tmp_path).exists
    seen = []

    def exists_too_late(path, **options):  # the other process makes the folder after we looked
        if path.parent.name == "runs" and not seen:
            seen.append(path)
            path.mkdir(parents=True)
            return False
        return replace_exists(path, **options)

    monkeypatch.setattr(type(tmp_path), "exists", exists_too_late)
    run = Run.create(settings)
    assert run.folder != seen[0]
    assert (run.folder / "checkpoint.npz").is_file()


# Nothing can come of it


@pytest.mark.parametrize("rate", [1e3, 1e10, 1e30])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_learning_rate_at_which_nothing_is_learned_stops_the_run(
    settings, tmp_path, optimizer, rate
):
    run = Run.create(
        replace(settings, optimizer=optimizer, learning_rate=rate, hidden_size=8), tmp_path / "run"
    )
    before = (run.folder / "checkpoint.npz").read_bytes()
    with pytest.raises(FloatingPointError, match=r"the loss (of epoch|became)"):
        run.train()
    assert (run.folder / "checkpoint.npz").read_bytes() == before


# Other systems


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_file_that_another_program_has_open_is_waited_for(tmp_path, monkeypatch, refusals):
    """Windows refuses to put a file in the place of one that is open, as virus scanners have it."""
    path, tries, move = tmp_path / "history.csv", [], type(tmp_path).replace

    def refused(new, old):
        tries.append(old)
        if len(tries) <= refusals:
            raise PermissionError(13, "Permission denied", str(old))
        return move(new, old)

    monkeypatch.setattr(type(tmp_path), "replace", refused)
    monkeypatch.setattr(files, "PATIENCE", (0.0, 0.0, 0.0))
    files.write_atomically(path, b"new")
    assert (path.read_bytes(), len(tries)) == (b"new", refusals + 1)


def test_a_file_that_stays_open_elsewhere_is_named_and_stays(tmp_path, monkeypatch):
    def refused(new, old):
        raise PermissionError(13, "Permission denied", str(old))

    path = tmp_path / "history.csv"
    path.write_bytes(b"old")
    monkeypatch.setattr(type(tmp_path), "replace", refused)
    monkeypatch.setattr(files, "PATIENCE", (0.0,))
    with pytest.raises(OSError, match=r"cannot write the file: Permission denied.*history\.csv"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [other.name for other in tmp_path.iterdir()] == ["history.csv"]


def test_files_of_a_run_have_the_same_line_endings_on_every_system(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("os.linesep", "\r\n")
    run = Run.create(settings, tmp_path / "run")
    run.train()
    assert b"\r" not in (run.folder / "config.json").read_bytes()
    lines = (run.folder / "history.csv").read_bytes().split(b"\r\n")
    assert len(lines) == 6
    assert not any(b"\n" in line for line in lines)


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space.*table\.csv"),
        files.naming(tmp_path / "table.csv"),
    ):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match=r"mine"), files.naming(tmp_path / "table.csv"):
        raise OSError(28, "No space left on device", "mine")


def test_all_bytes_are_with_the_system_when_they_are_sent_to_the_disk(tmp_path, monkeypatch):
    sizes, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: sizes.append(os.fstat(fd).st_size) or fsync(fd))
    files.write_atomically(tmp_path / "file", b"1234567")
    assert sizes[0] == 7


def test_a_lock_on_a_file_that_its_holder_has_just_removed_is_none(tmp_path, monkeypatch):
    lock = files._lock

    def late(descriptor):
        (tmp_path / files.LOCK).unlink()
        lock(descriptor)

    monkeypatch.setattr(files, "_lock", late)
    with pytest.raises(BlockingIOError), files.locked(tmp_path):
        pass


def test_what_cannot_be_trained_is_refused_before_there_is_a_folder(settings, tmp_path):
    with pytest.raises(ValueError, match="batch_size must be at most the 31 training sequences"):
        Run.create(replace(settings, batch_size=32), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_another_process_makes_meanwhile_is_left_to_it(
    settings, tmp_path, monkeypatch
):
    start = runs.Run._first_state

    def made_meanwhile(run):
        (tmp_path / "run").mkdir()
        return start(run)

    monkeypatch.setattr(runs.Run, "_first_state", made_meanwhile)
    with pytest.raises(FileExistsError):
        Run.create(settings, tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_lock_leaves_no_file_open(tmp_path, monkeypatch):
    opened, open_file = [], os.open
    monkeypatch.setattr(os, "open", lambda *a, **o: opened.append(open_file(*a, **o)) or opened[-1])
    with files.locked(tmp_path):
        os.fstat(opened[0])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
