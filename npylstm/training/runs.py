"""Runs: a training run with its folder, where it can be stopped, resumed and looked at.

A run folder holds

    config.json       the settings, defaults included, written first
    checkpoint.npz    the last state that was saved: all that is needed to go on
    history.csv       one line per epoch up to that state
    run.lock          only while a process works on the run
    model.npz         the trained model, for `npylstm.models.load_model`
    *.png             pictures of how the training went
"""

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from itertools import chain, count
from pathlib import Path

import numpy as np

import npylstm
from npylstm.analysis import gradient_flow
from npylstm.backend import resolve_device, to_device, to_numpy
from npylstm.data import Digits, load_mnist, row_sequences
from npylstm.files import JSON, locked, write_atomically
from npylstm.models import checkpoint, save_model, softmax
from npylstm.training.settings import N_DIGITS, RunSettings
from npylstm.training.state import Epoch, TrainingState, packed, unpacked
from npylstm.training.trainer import Examples, predict

CHECKPOINT = "checkpoint.npz"
GUESSING = math.log(N_DIGITS)
"""The loss of a network that knows nothing and says so, in nats."""

HOPELESS = 10
"""How many times the loss of guessing tells that the network has saturated and learns no more."""


class Run:
    """A run and its folder: `Run.create` begins one, `Run.open` goes on with one.

    Parameters
    ----------
    folder : path
        The run folder.
    settings : RunSettings
        What to do.

    Attributes
    ----------
    state : TrainingState
        How far it is: the last checkpoint's, until `train` goes on from there.
    """

    def __init__(self, folder: Path, settings: RunSettings) -> None:
        self.folder, self.settings = folder, settings.resolved()
        self.trainer = self.settings.trainer()
        self.device = resolve_device(settings.device)
        mnist = load_mnist(settings.data)
        self._fingerprint = _fingerprint(mnist.train, mnist.test)
        self._began_with = _versions()
        self.train_set, self.test_set = self._examples(mnist.train), self._examples(mnist.test)
        self._start = self._first_state()
        self._states(self._start)  # what cannot be trained is refused before there is a folder
        self.state = self._load()

    @classmethod
    def create(cls, settings: RunSettings, folder: str | os.PathLike[str] | None = None) -> "Run":
        """Begin a run in a new folder; by default one in `runs/`, named for the cell and the time.

        Raises
        ------
        FileExistsError
            The folder exists: a run never overwrites anything.
        OSError
            The folder cannot be made, or the data cannot be read.
        RuntimeError
            There is no GPU to use.
        ValueError
            Settings or data that are not sound. The folder is made only after they were checked.
        """
        path = Path(folder or _free_name(settings))
        if folder and path.exists():
            raise FileExistsError(f"{path} exists already, and nothing is overwritten")
        run = cls(path, settings)
        run.folder = _make_folder(path, lambda: None if folder else _free_name(settings))
        with locked(run.folder):
            run._write_config()
            run.save()
        return run

    @classmethod
    def open(cls, folder: str | os.PathLike[str], epochs: int | None = None) -> "Run":
        """Go on with a run where its last checkpoint left it.

        Parameters
        ----------
        folder : path
            Of a run that was interrupted or is complete.
        epochs : int, optional
            How many epochs it is to have now, counted from its start; by default as many as before.

        Raises
        ------
        OSError
            The folder has no readable settings, or the data cannot be read.
        RuntimeError
            There is no GPU to use.
        ValueError
            Settings, a checkpoint or data that are not sound or do not belong together.
        """
        path = Path(folder) / "config.json"
        config, settings = _read_config(path)
        with locked(folder):
            run = cls(
                Path(folder), settings if epochs is None else replace(settings, epochs=epochs)
            )
            if run.settings.epochs < len(run.state.history):
                raise ValueError(
                    f"epochs must be at least the {len(run.state.history)} that {folder} has done, "
                    f"got {run.settings.epochs}"
                )
            run._began_with |= {name: config[name] for name in run._began_with if name in config}
            run._write_config()
        return run

    @property
    def steps(self) -> tuple[int, int]:
        """How many steps are done, and how many there are in all."""
        done = len(self.state.history) * self._batches + self.state.batch
        return done, self.settings.epochs * self._batches

    @property
    def other_versions(self) -> str | None:
        """With which versions the run was begun, where they are not the present ones."""
        old, new = self._began_with, _versions()
        return None if old == new else f"{_listed(old)}, and this is {_listed(new)}"

    @property
    def learned_nothing(self) -> bool:
        """Whether the last epoch was worse than guessing, by more than chance makes a loss."""
        return bool(self.state.history) and self.state.history[-1].train_loss > 1.1 * GUESSING

    @property
    def _batches(self) -> int:
        return len(self.train_set) // self.settings.batch_size

    def train(self, report: Callable[[TrainingState], None] = lambda _state: None) -> None:
        """Train to the last epoch, with a checkpoint every so many epochs; then save the model.

        Parameters
        ----------
        report : callable
            Called with the state after every step.

        Raises
        ------
        KeyboardInterrupt
            After the present state has been saved.
        FloatingPointError
            The loss is no longer finite, or so large that the run is hopeless; the last checkpoint
            stays as it is.
        OSError
            A file cannot be written, or another process works on the run; the last checkpoint
            stays as it is.
        """
        with locked(self.folder):
            self.state = self._load()  # another process may have gone on with the run
            try:
                for state in self._states(self.state):
                    self._step_done(state)
                    report(state)
            except KeyboardInterrupt:
                self.save()
                raise
            self.save()
            save_model(self.folder / "model.npz", self.trainer.model, self.state.params)

    def _step_done(self, state: TrainingState) -> None:
        if state.batch == 0 and (last := state.history[-1]).train_loss > HOPELESS * GUESSING:
            raise FloatingPointError(
                f"the loss of epoch {last.epoch} is {last.train_loss:.4g}, and guessing has "
                f"{GUESSING:.4g}"
            )
        self.state = state
        if state.batch == 0 and len(state.history) % self.settings.checkpoint_interval == 0:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, and the history up to it.

        Raises
        ------
        FloatingPointError
            The parameters are no longer finite.
        OSError
            A file cannot be written. In both cases the last checkpoint stays as it is.
        """
        state = self.state
        if not state.is_finite():
            raise FloatingPointError(
                f"the parameters became infinite or NaN by step {self.steps[0]}"
            )
        arrays, meta = packed(state, self._batches)
        checkpoint.save(self._path(CHECKPOINT), arrays, meta | {"examples": self._fingerprint})
        table = io.StringIO()
        csv.writer(table).writerows([Epoch._fields, *state.history])
        write_atomically(self._path("history.csv"), table.getvalue().encode())

    def draw(self) -> list[Path]:
        """Draw the pictures of the run as it stands, and return where they are."""
        from matplotlib.figure import Figure  # takes longer than all other imports together

        from npylstm import plots as plots

        history = np.array(self.state.history).reshape(-1, len(Epoch._fields)).T
        digits, labels = to_numpy(self.test_set.xs), to_numpy(self.test_set.labels)
        logits = predict(self.trainer.model, self.state.params, self.test_set.xs)

        curves = Figure(figsize=(10, 4), layout="constrained")
        left, right = curves.subplots(1, 2)
        plots.plot_losses(left, *history[:3])
        plots.plot_accuracy(right, history[0], history[3])

        confusion = Figure(figsize=(6, 5), layout="constrained")
        plots.plot_confusion(confusion.subplots(), labels, logits.argmax(axis=-1), N_DIGITS)

        mistakes = Figure(figsize=(8, 5), layout="constrained")
        plots.plot_mistakes(mistakes, digits.swapaxes(0, 1), labels, softmax(logits))

        norms = Figure(figsize=(10, 4), layout="constrained")
        batch = slice(self.settings.batch_size)
        axes = norms.subplots(1, 2, sharey=True)
        start = self.trainer.start(self.settings.dtype)
        for ax, when, state in zip(axes, ("Before", "After"), (start, self.state), strict=True):
            params = to_device(state.params, "cpu")
            flow = gradient_flow(self.trainer.model, params, digits[:, batch], labels[batch])
            plots.plot_gradient_norms(ax, flow.norms, f"{when} training")

        figures = {
            "curves": curves,
            "confusion": confusion,
            "mistakes": mistakes,
            "gradients": norms,
        }
        for name, figure in figures.items():
            picture = io.BytesIO()
            figure.savefig(picture, dpi=120)
            write_atomically(self._path(f"{name}.png"), picture.getvalue())
        return [self._path(f"{name}.png") for name in figures]

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _examples(self, digits: Digits) -> Examples:
        xs = row_sequences(digits.images, self.settings.dtype)
        return Examples(**to_device({"xs": xs, "labels": digits.labels}, self.device))

    def _first_state(self) -> TrainingState:
        try:
            return self.trainer.start(self.settings.dtype, self.device)
        except (MemoryError, ValueError) as error:  # what NumPy says of an array that is too big
            raise ValueError(
                f"hidden_size and layers must make a network that memory can hold, got "
                f"{self.settings.hidden_size} and {self.settings.layers}"
            ) from error

    def _states(self, state: TrainingState) -> Iterator[TrainingState]:
        return self.trainer.states(state, self.train_set, self.test_set, self.settings.epochs)

    def _write_config(self) -> None:
        text = json.dumps(self._began_with | {"settings": asdict(self.settings)}, indent=2) + "\n"
        write_atomically(self._path("config.json"), text.encode())

    def _load(self) -> TrainingState:
        """Return the state of the checkpoint, or the first state where none was saved yet."""
        path = self._path(CHECKPOINT)
        if not path.exists():
            return self._start
        arrays, meta = checkpoint.load(path)
        if meta.get("examples") != self._fingerprint:
            raise ValueError(
                f"{path} belongs to other digits than those in {self.settings.data or 'the sample'}"
                f": examples must be {self._fingerprint!r}, got {meta.get('examples')!r}"
            )
        optimizer = self.trainer.optimizer
        try:
            return unpacked(arrays, meta, self._start, optimizer, self._batches, self.device)
        except ValueError as error:
            raise ValueError(
                f"{path} does not belong to the settings in {self._path('config.json')}: {error}"
            ) from error


def _versions() -> dict[str, str]:
    return {"npylstm": npylstm.__version__, "numpy": np.__version__}


def _listed(versions: Mapping[str, str]) -> str:
    return " with ".join(f"{name} {version}" for name, version in versions.items())


def _fingerprint(*parts: Digits) -> str:
    """Return the SHA-256 of pictures and labels, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.images, part.labels):
            digest.update(f"{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _read_config(path: Path) -> tuple[dict[str, JSON], RunSettings]:
    """Return what a run folder says of its run, and the settings in it."""
    try:
        config = json.loads(path.read_text("utf-8"))
        settings = RunSettings(**config["settings"])
        settings.trainer()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} does not hold the settings of a run: {error!r}") from error
    return config, settings


def _make_folder(path: Path, other_name: Callable[[], Path | None]) -> Path:
    """Make a folder that was not there; of two processes with one name, one takes another."""
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if (other := other_name()) is None:
                raise
            path = other
        else:
            return path


def _free_name(settings: RunSettings) -> Path:
    """Return a name for a run folder that is not taken."""
    name = f"{settings.cell.replace(':', '-')}{settings.hidden_size}-{datetime.now():%Y%m%d-%H%M%S}"
    names = (f"{name}{suffix}" for suffix in chain([""], (f"-{k}" for k in count(2))))
    return next(path for name in names if not (path := Path("runs", name)).exists())
