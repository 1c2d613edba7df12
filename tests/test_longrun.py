"""A long training run holds its memory flat."""

import os
from pathlib import Path

import numpy as np
import pytest

from npylstm.training.runs import Run
from npylstm.training.settings import RunSettings

STATM = Path("/proc/self/statm")


def resident_megabytes():
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="needs Linux, to look at the memory in use")
def test_memory_stays_flat_over_200_000_steps(tmp_path):
    """With shuffling, dropout, clipping and a checkpoint after each of 20 epochs."""
    settings = RunSettings(
        hidden_size=2,
        batch_size=1,
        epochs=20,
        checkpoint_interval=1,
        shuffle=True,
        input_keep_prob=0.9,
        clip_norm=1.0,
    )
    run = Run.create(settings, tmp_path / "run")
    measured = []

    def look(state):
        if state.batch == 0:
            measured.append(resident_megabytes())

    run.train(look)
    assert run.steps == (200_000, 200_000)
    early, late = np.mean(measured[1:4]), np.mean(measured[-3:])
    print(f"\n{early:.1f} MB after 20,000 to 40,000 steps, {late:.1f} MB at the end")
    assert late - early < 1
