"""The page of a training run, or of a network trained on the spot."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

from npylstm.cells import Params, RNNCell
from npylstm.checks import Option
from npylstm.data import Digits, load_mnist, row_sequences
from npylstm.explain.document import Page, page
from npylstm.explain.recording import check_index
from npylstm.models import SequenceModel, load_model
from npylstm.training import Examples, RunSettings

QUICK = RunSettings(epochs=8, learning_rate=0.003)
"""The settings used without a run: training on the package's digits takes seconds."""

Report = Callable[[str, int, int], None]


class RunPage:
    """The trained network and the test digit that a page is made from.

    Parameters
    ----------
    folder : path, optional
        A run that has been trained to its end. Without it `make` trains a small network.
    digit : int
        The number of a picture in the test set.

    Raises
    ------
    OSError
        The folder or its data cannot be read.
    ValueError
        The folder does not hold a finished run, or there is no such digit.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, digit: int = 0) -> None:
        self._trained: tuple[SequenceModel, Params] | None = None
        self.settings = QUICK
        if folder is not None:
            self.settings, self._trained = _open(Path(folder))
        self._mnist = load_mnist(self.settings.data)
        check_index("digit", digit, len(self._mnist.test.labels))
        self._digit = slice(digit, digit + 1)

    def make(self, report: Report | None = None) -> Page:
        """Train what still needs training, such as the RNN shown beside the cell; make the page.

        Parameters
        ----------
        report : callable, optional
            Called after every step of a training with what is trained, the steps done, and all.

        Raises
        ------
        FloatingPointError
            The network's training diverged; if the RNN's does, it is shown untrained.
        """
        model, params = self._trained or self._train(self.settings, report)
        rnn = None
        if not isinstance(model.recurrent.cells[-1], RNNCell):
            with suppress(FloatingPointError):  # the settings may suit the cell alone
                rnn = self._train(_as_rnn(self.settings), report)
        test = self._mnist.test
        xs = row_sequences(test.images[self._digit], self.settings.dtype)
        return page(model, params, xs, test.labels[self._digit], rnn=rnn)

    def _train(self, settings: RunSettings, report: Report | None) -> tuple[SequenceModel, Params]:
        trainer = settings.trainer()
        train, test = (self._examples(part) for part in (self._mnist.train, self._mnist.test))
        total = settings.epochs * (len(train) // settings.batch_size)
        states = trainer.states(trainer.start(settings.dtype), train, test, settings.epochs)
        params: Params = {}
        for done, state in enumerate(states, 1):
            params = state.params
            if report is not None:
                report(settings.cell, done, total)
        return trainer.model, params

    def _examples(self, digits: Digits) -> Examples:
        return Examples(row_sequences(digits.images, self.settings.dtype), digits.labels)


def _open(folder: Path) -> tuple[RunSettings, tuple[SequenceModel, Params]]:
    """Return a run's settings, its model and its parameters; the folder is left as it is."""
    config, trained = folder / "config.json", folder / "model.npz"
    if not config.is_file():
        raise ValueError(f"RUN must be the folder of a run, with its config.json, got {folder}")
    try:
        settings = RunSettings(**json.loads(config.read_text("utf-8"))["settings"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{config} does not hold the settings of a run: {error!r}") from error
    if not trained.is_file():
        raise ValueError(
            f"RUN must be trained to its end, got {folder}, which has no model.npz yet; "
            f"to go on with it: npylstm train --resume {folder}"
        )
    return settings, load_model(trained)


def _as_rnn(settings: RunSettings) -> RunSettings:
    """Return the same settings for a tanh RNN."""
    shared = {"hidden_size", "kernel_initializer"}
    defaults: dict[str, Option] = {
        setting.name: setting.default
        for setting in fields(settings)
        if setting.metadata["group"] == "cell" and setting.name not in shared
    }
    plain = {"cell": "rnn", "cell_options": None, "device": "cpu", "path": "auto"}
    return replace(settings, **defaults | plain)
