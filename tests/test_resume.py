"""A run of the command that is killed, or cannot write, loses nothing that it had saved."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from npylstm.models import checkpoint

TRAIN = [sys.executable, "-m", "npylstm", "train"]
SETTINGS = [
    *("--hidden-size", "4", "--batch-size", "1000", "--epochs", "20", "--shuffle"),
    *("--input-keep-prob", "0.9", "--optimizer", "adam", "--checkpoint-interval", "1"),
]
RESULTS = "checkpoint.npz", "history.csv", "model.npz"


def begin(folder):
    """The command that begins the run in `folder`, or goes on with it if it has begun."""
    begun = (folder / "config.json").exists()
    return [*TRAIN, "--resume", folder] if begun else [*TRAIN, *SETTINGS, "--out", folder]


def finish(folder):
    return subprocess.run(begin(folder), capture_output=True, text=True)


def results(folder):
    return {name: (folder / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What a run leaves that nobody disturbs, and the seconds from its first file to its last."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert finish(folder).returncode == 0
    seconds = (folder / "model.npz").stat().st_mtime - (folder / "config.json").stat().st_mtime
    return results(folder), seconds


def kill_after(folder, delay):
    """Begin or go on, and kill the process `delay` seconds after it has written its settings."""
    config = folder / "config.json"
    before = config.stat().st_mtime_ns if config.exists() else None
    process = subprocess.Popen(
        begin(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        if config.exists() and config.stat().st_mtime_ns != before:
            time.sleep(delay)
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    _, complaints = process.communicate()
    assert "Traceback" not in complaints


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_ends_like_one_that_was_not(unbroken, tmp_path, kills):
    """Its history, weights and slots are the same to the last bit.

    The moments are spread over the whole run: each process goes on for its share of the time.
    """
    expected, seconds = unbroken
    folder = tmp_path / "run"
    moments = np.sort(np.random.default_rng(kills).uniform(0, 0.9 * seconds, kills))
    epochs = []
    for earlier, later in pairwise([0, *moments]):
        kill_after(folder, later - earlier)
        saved = folder / "checkpoint.npz"  # the first comes a moment after the settings
        epochs.append(len(checkpoint.load(saved)[1]["history"]) if saved.exists() else 0)
    assert epochs == sorted(epochs)
    assert epochs[-1] > 0, "no process lived long enough to be worth a kill"
    assert finish(folder).returncode == 0
    assert results(folder) == expected
    whole = {*RESULTS, "config.json", "curves.png", "confusion.png", "mistakes.png"}
    left = {path.name for path in folder.iterdir() if path.suffix != ".tmp"}
    assert left == whole | {"gradients.png"}


def stopped_halfway(folder):
    """A run of 5 epochs that is to have 20; return its files."""
    few = [*TRAIN, *SETTINGS, "--epochs", "5", "--out", folder]
    assert subprocess.run(few, capture_output=True).returncode == 0
    return results(folder)


def test_a_disk_that_fills_during_a_run_loses_nothing(unbroken, tmp_path):
    resource = pytest.importorskip("resource")
    folder = tmp_path / "run"
    before = stopped_halfway(folder)

    def fill():  # settings still find room, a checkpoint does not
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    onward = [*TRAIN, "--resume", folder, "--epochs", "20"]
    failed = subprocess.run(onward, capture_output=True, text=True, preexec_fn=fill)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("npylstm: cannot write the file:")
    assert "to go on: npylstm train --resume" in failed.stderr
    assert results(folder) == before
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]

    assert finish(folder).returncode == 0
    assert results(folder) == unbroken[0]


def test_a_folder_that_becomes_read_only_loses_nothing(unbroken, tmp_path):
    tmp_path.chmod(0o500)
    refused = not os.access(tmp_path, os.W_OK)
    tmp_path.chmod(0o700)
    if not refused:
        pytest.skip("this user may write to read-only folders")
    folder = tmp_path / "run"
    before = stopped_halfway(folder)
    folder.chmod(0o500)
    onward = [*TRAIN, "--resume", folder, "--epochs", "20"]
    failed = subprocess.run(onward, capture_output=True, text=True)
    folder.chmod(0o700)
    assert failed.returncode == 2
    assert (
        failed.stderr.strip()
        == f"npylstm: cannot write the file: Permission denied: {folder}/config.json"
    )
    assert results(folder) == before

    assert subprocess.run(onward, capture_output=True).returncode == 0
    assert results(folder) == unbroken[0]
