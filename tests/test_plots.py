"""Figures: they show the numbers they are given, say so in the title, and print in grey."""

import errno
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from npylstm.cells import LSTMCell
from npylstm.plots.diagrams import (
    DIAGRAMS,
    lstm_cell_diagram,
    save_diagrams,
)
from npylstm.plots.runs import (
    plot_accuracy,
    plot_confusion,
    plot_gradient_norms,
    plot_losses,
    plot_mistakes,
)
from npylstm.plots.style import STYLES, log_y


@pytest.fixture
def ax():
    return Figure().subplots()


def test_losses_are_drawn_and_the_best_named(ax):
    assert plot_losses(ax, [1, 2, 3], [3.0, 2.0, 1.0], [2.5, 1.5, 2.0]) is ax
    training, test = ax.get_lines()
    np.testing.assert_array_equal(training.get_ydata(), [3, 2, 1])
    np.testing.assert_array_equal(test.get_ydata(), [2.5, 1.5, 2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "test"]
    assert ax.get_title() == "Test loss falls to 1.500 at epoch 2"


@pytest.mark.parametrize(
    ("values", "scale"), [([0.0, 0.0], "linear"), ([0.0, 1e-9], "log")], ids=["zero", "some"]
)
def test_what_is_exactly_zero_is_said_and_not_drawn_on_a_logarithmic_axis(ax, values, scale):
    ax.plot(values)
    log_y(ax)
    assert ax.get_yscale() == scale
    assert [text.get_text() for text in ax.texts] == ["all exactly zero"] * (scale == "linear")


def test_accuracy_is_drawn_and_the_last_named(ax):
    assert plot_accuracy(ax, [1, 2], [0.5, 0.947]) is ax
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [0.5, 0.947])
    assert ax.get_title() == "94.7% of the test digits are right after epoch 2"


def test_confusion_counts_rows_as_labels_and_columns_as_predictions(ax):
    labels, predictions = np.array([0, 1, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 2, 0])
    assert plot_confusion(ax, labels, predictions, 3) is ax
    written = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    assert written == {(0, 0): "1", (1, 1): "1", (1, 2): "2", (2, 2): "1", (2, 0): "1"}
    assert ax.get_title() == "The most frequent mistake: a 1 read as a 2 (2 times)"
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 0, 0], [0, 0, 2], [1, 0, 0]])


def test_confusion_without_a_mistake_says_so(ax):
    plot_confusion(ax, np.arange(3), np.arange(3), 3)
    assert ax.get_title() == "Every digit is read rightly"


def test_mistakes_show_the_most_confident_ones_first():
    images = np.arange(4)[:, None, None] * np.ones((4, 2, 2))
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    figure = Figure()
    assert plot_mistakes(figure, images, np.array([0, 0, 0, 1]), probabilities) is figure
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == ["0 as 1, 80%", "0 as 1, 60%"]
    assert [ax.images[0].get_array()[0, 0] for ax in shown] == [2, 1]
    assert figure.get_suptitle().startswith("2 of 4 test digits are misread")


def test_gradient_norms_draw_median_and_band_and_leave_out_zeros(ax):
    norms = {"h": np.array([[1.0, 2.0, 3.0], [4.0, 40.0, 400.0]]), "c": np.array([[5.0], [0.0]])}
    assert plot_gradient_norms(ax, norms, "Before training") is ax
    h, c = ax.get_lines()
    np.testing.assert_array_equal(h.get_ydata(), [2, 40])
    np.testing.assert_array_equal(c.get_ydata(), [5, np.nan])
    assert ax.get_yscale() == "log"
    assert ax.get_title() == "Before training\n∂L/∂h at t = 0: 0.05 of its size at t = 1"


def test_gradients_that_are_all_zero_can_be_drawn(ax):
    plot_gradient_norms(ax, {"h": np.zeros((3, 2))}, "Dead")
    ax.figure.canvas.draw()


def test_lines_differ_in_more_than_colour():
    for key in ("linestyle", "marker"):
        assert len({str(style[key]) for style in STYLES}) == len(STYLES)
    assert len({style["color"] for style in STYLES}) == 7


def test_colours_are_of_the_palette_for_colour_blind_readers():
    # Okabe & Ito (2008), "Color Universal Design", the table of RGB values.
    palette = {
        (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
        (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    }  # fmt: skip
    for style in STYLES:
        assert tuple(round(255 * part) for part in to_rgb(style["color"])) in palette


def test_plots_open_no_window_and_keep_no_figure():
    code = "import npylstm.plots.runs, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------ diagrams


def words(figure):
    return {text.get_text() for text in figure.axes[0].texts}


def test_the_diagram_of_the_cell_uses_the_letters_of_its_code(ax):
    source = inspect.getsource(LSTMCell.forward)
    named = {
        word
        for word in words(lstm_cell_diagram(ax).figure)
        if word.isascii() and word.isidentifier()
    }
    assert {"x", "h_prev", "c_prev", "i", "f", "g", "o", "c", "h"} <= named
    for name in named:
        assert re.search(rf"\b{name}\b", source), name


@pytest.mark.parametrize("name", DIAGRAMS)
def test_all_that_a_diagram_says_lies_inside_its_frame(name):
    draw, size = DIAGRAMS[name]
    ax = Figure(figsize=size, layout="constrained").subplots()
    assert draw(ax) is ax
    ax.figure.canvas.draw()
    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    for text in ax.texts:
        box = text.get_window_extent().transformed(ax.transData.inverted())
        assert left - 0.8 <= box.x0 <= box.x1 <= right + 0.8, text.get_text()
        assert low - 0.8 <= box.y0 <= box.y1 <= high + 0.8, text.get_text()


def test_a_full_disk_names_the_diagram_that_it_has_no_room_for(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OSError, match=r"No space left .*\.svg"):
        save_diagrams(tmp_path)


def test_diagrams_are_saved_as_svg_the_same_each_time(tmp_path):
    first = [path.read_bytes() for path in save_diagrams(tmp_path)]
    assert [path.read_bytes() for path in save_diagrams(tmp_path)] == first
    assert all(b"<svg" in content for content in first)
