"""A cell of one's own: registered, saved, loaded, trained from the command line."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

import npylstm
from npylstm import LSTMCell, RNNCell, SequenceModel, load_model, register, save_model
from npylstm.cli import main
from npylstm.models import CLASSES, from_config, to_config
from npylstm.sequence import Bidirectional, Dropout, Reverse, Stack

MODULE = '''
from dataclasses import dataclass
from npylstm import RNNCell, RNNState


@dataclass(frozen=True)
class LeakyCell(RNNCell):
    """A vanilla cell of which a part of h stays."""

    alpha: float = 0.5

    def forward(self, params, x, state):
        new, cache = super().forward(params, x, state)
        return RNNState((1 - self.alpha) * state.h + self.alpha * new.h), cache

    def backward(self, params, cache, dstate):
        dx, dprev, grads = super().backward(params, cache, RNNState(self.alpha * dstate.h))
        return dx, RNNState(dprev.h + (1 - self.alpha) * dstate.h), grads


class Plain:
    pass
'''


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    """What a test registers and imports is gone after it, and what others registered before it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(CLASSES)
    for name in [name for name, part in before.items() if part.__module__[:8] != "npylstm."]:
        del CLASSES[name]
    yield
    CLASSES.clear()
    CLASSES.update(before)
    sys.modules.pop("mycells", None)


@dataclass(frozen=True)
class SlowCell(RNNCell):
    delay: float = 0.25


def model_of(cell):
    model = SequenceModel(cell, 3)
    return model, model.init(0)


def test_a_registered_cell_is_saved_and_loaded_as_it_was(tmp_path):
    assert register(SlowCell) is SlowCell
    for layer in (
        SlowCell(2, 3, delay=0.5),
        Stack([Bidirectional(SlowCell(2, 3), LSTMCell(2, 3)), Dropout(SlowCell(6, 4), 0.5)]),
        Reverse(SlowCell(2, 3)),
    ):
        model, params = model_of(layer)
        save_model(tmp_path / "model.npz", model, params)
        loaded, arrays = load_model(tmp_path / "model.npz")
        assert loaded == model
        assert all((arrays[name] == params[name]).all() for name in params)


def test_a_field_that_is_a_tuple_is_a_tuple_again():
    @register
    @dataclass(frozen=True)
    class ManyDelays(RNNCell):
        delays: tuple[float, ...] = ()

    assert from_config(to_config(ManyDelays(2, 3, delays=(0.5, 0.25)))).delays == (0.5, 0.25)


def test_a_cell_that_is_not_registered_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "model.npz"
    model, params = model_of(Stack([LSTMCell(2, 3), SlowCell(3, 3)]))
    with pytest.raises(ValueError, match=r"holds a SlowCell.*npylstm\.register\(SlowCell\)"):
        save_model(path, model, params)
    assert not path.exists()
    with pytest.raises(ValueError, match=r"or registered with npylstm\.register, got 'SlowCell'"):
        from_config(to_config(SlowCell(2, 3)))


def test_a_field_that_is_no_plain_data_is_refused(tmp_path):
    @register
    @dataclass(frozen=True)
    class FunctionCell(RNNCell):
        phi: Callable[[float], float] = abs

    with pytest.raises(ValueError, match=r"model could not be loaded again: .*JSON serializable"):
        save_model(tmp_path / "model.npz", *model_of(FunctionCell(2, 3)))

    @register
    @dataclass(frozen=True)
    class ListCell(RNNCell):
        numbers: object = None

    with pytest.raises(ValueError, match="could not be loaded again: it would be"):
        save_model(tmp_path / "model.npz", *model_of(ListCell(2, 3, numbers=[1, 2])))
    assert not (tmp_path / "model.npz").exists()


def test_parameters_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    model, params = model_of(LSTMCell(2, 3))
    with pytest.raises(ValueError, match="W_y"):
        save_model(tmp_path / "model.npz", model, {k: a for k, a in params.items() if k != "W_y"})
    assert not (tmp_path / "model.npz").exists()


def test_what_is_no_frozen_dataclass_or_has_a_name_that_is_taken_is_refused():
    class Bare(RNNCell):  # its fields are the parent's, but what it adds is not among them
        pass

    for part in (Bare, Bare(2, 3), dict, "LSTMCell", None):
        with pytest.raises(TypeError, match="must be a class that is a Cell or a Layer"):
            register(part)
    twin = dataclass(frozen=True)(type("LSTMCell", (RNNCell,), {"__annotations__": {}}))
    with pytest.raises(ValueError, match="must have a name of its own, got LSTMCell"):
        register(twin)


def test_a_class_that_is_made_anew_takes_the_place_of_the_old_one():
    def define():
        @register
        @dataclass(frozen=True)
        class Again(RNNCell):
            pass

        return Again

    first, second = define(), define()
    assert first is not second
    assert CLASSES["Again"] is second


def test_the_command_line_trains_and_checks_a_cell_in_a_module_of_the_folder(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "mycells.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    options = ["--epochs", "1", "--hidden-size", "4", "--cell-options", "alpha=0.25"]
    main(["train", "--cell", "mycells:LeakyCell", "--out", "run", *options])
    model, params = load_model(tmp_path / "run" / "model.npz")
    cell = model.recurrent.cells[0]
    assert (type(cell).__name__, cell.alpha) == ("LeakyCell", 0.25)
    assert np.isfinite(params["W_h"]).all()
    capsys.readouterr()
    main(["gradcheck", "--cell", "mycells:LeakyCell"])
    assert "every gradient is right" in capsys.readouterr().out
    names = ("mycells:Plain", "mycells:Nothing", "nomodule:Cell", "mycells:")
    for command, name in product(("train", "gradcheck"), names):
        with pytest.raises(SystemExit) as stop:
            main([command, "--cell", name])
        error = capsys.readouterr().err
        assert stop.value.code == 2
        assert "cell must name a module and a Cell in it" in error
        assert name in error


def test_the_names_are_there():
    assert npylstm.register is register
    assert callable(npylstm.register_kernel)
