import functools

import numpy as np
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def _one_thread_of_blas():
    """Small products gain nothing from more, and lose much where other programs are busy."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def torch_reference():
    """PyTorch's layers with our weights; the test is skipped where there is no PyTorch."""
    pytest.importorskip("torch")
    import torch_reference

    return torch_reference


@pytest.fixture
def dead_networks(monkeypatch):
    """Let all networks start with zeros for parameters, so that every gradient is exactly zero."""
    from npylstm.cells import GRUCell, LSTMCell, LSTMVariant, RNNCell
    from npylstm.experiments.blocks import BlockNet
    from npylstm.models import SequenceModel

    def zeros(self, init, *arguments, **options):
        params = init(self, *arguments, **options)
        return {name: np.zeros_like(array) for name, array in params.items()}

    for kind in SequenceModel, RNNCell, LSTMCell, LSTMVariant, GRUCell, BlockNet:
        monkeypatch.setattr(kind, "init", functools.partialmethod(zeros, kind.init))


@pytest.fixture
def assert_legible():
    """Check a figure: its texts are in it, no legend on a line, steps marked at whole numbers."""
    return _assert_legible


def _assert_legible(figure):
    figure.draw_without_rendering()
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= figure.bbox.width, text.get_text()
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()] + figure.legends
    for legend in legends:
        box = legend.get_window_extent()
        for text in figure.texts:
            assert not box.overlaps(text.get_window_extent()), text.get_text()
        for ax in figure.axes:
            for line in ax.get_lines():
                points = line.get_transform().transform(np.array(line.get_data(), float).T)
                inside = [point for point in points if ax.bbox.contains(*point)]
                assert not any(box.contains(*point) for point in inside), line.get_label()
    for ax in figure.axes:
        if any(word in ax.get_xlabel() for word in ("lag", "step", "epoch", "update")):
            shown = [t for t in ax.get_xticks() if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
            if ax.get_xscale() == "linear":
                assert all(float(t).is_integer() for t in shown), (ax.get_xlabel(), shown)
