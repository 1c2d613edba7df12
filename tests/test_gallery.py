"""The gallery: its pictures show what was measured, can be read in grey, and are in the docs."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from npylstm.experiments import lyapunov
from npylstm.experiments.gallery import PICTURES, cliff, lag
from npylstm.experiments.study import StudyResult
from npylstm.plots import gradients as gradient_plots

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module", params=PICTURES)
def made(request, tmp_path_factory):
    """Return a picture with its fast settings, what was measured, and the folder with its files."""
    picture = PICTURES[request.param]
    folder = tmp_path_factory.mktemp("out")
    return picture, picture.perform(folder, seed=1), folder


def test_every_picture_leaves_its_table_its_facts_its_arrays_and_itself(made):
    picture, result, folder = made
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{picture.name}.{ending}" for ending in ("csv", "json", "npz", "png")}
    again = StudyResult.load(folder, picture.name)
    assert again.table() == result.table()
    assert again.curves.keys() == result.curves.keys()
    assert result.settings["seed"] == 1


def test_every_picture_tells_its_message_and_labels_its_axes(made):
    picture, result, _ = made
    figure = picture.figure(result)
    figure.canvas.draw()
    assert figure.get_suptitle().replace("\n", " ") == result.verdict
    assert figure.get_supxlabel().replace("\n", " ") == result.caption
    shown = [ax for ax in figure.axes if ax.get_xlabel()]
    assert shown
    assert all(ax.get_ylabel() for ax in shown if ax.get_subplotspec().is_first_col())


def test_every_picture_can_be_read(made, assert_legible):
    picture, result, _ = made
    assert max(map(len, picture.report(result).splitlines())) <= 80
    assert_legible(picture.figure(result))


def test_a_picture_is_never_overwritten(made):
    picture, _, folder = made
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="exists already"):
        picture.perform(folder)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_can_be_made_of_networks_whose_gradients_are_exactly_zero(
    name, dead_networks, tmp_path
):
    PICTURES[name].perform(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{name}.{ending}" for ending in ("csv", "json", "npz", "png")}


def test_a_sequence_without_any_gradient_is_left_out_of_the_medians():
    flow = SimpleNamespace(norms={"h": np.array([[1.0, 0.0, 3.0], [2.0, 0.0, 3.0]])})
    norms = lag.whole_state(flow)
    np.testing.assert_array_equal(norms, [[1, np.nan, 1], [0.5, np.nan, 1]])
    np.testing.assert_array_equal(lag.median(norms), [1, 0.75])
    assert np.isnan(lag.median(norms[:, 1:2])).all()


def test_files_appear_only_when_all_is_done(tmp_path, monkeypatch):
    def fail(figure, result):
        raise RuntimeError("no ink")

    picture = dataclasses.replace(PICTURES["cliff"], draw=fail)
    with pytest.raises(RuntimeError, match="no ink"):
        picture.perform(tmp_path)
    assert not list(tmp_path.iterdir())
    PICTURES["cliff"].perform(tmp_path)


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_in_the_documentation_with_its_command(name):
    page = (DOCS / "gallery.md").read_text()
    assert f"```{{picture}} {name}\n" in page
    assert (DOCS / "images" / f"{name}.png").stat().st_size < 150_000


def test_the_gallery_can_be_listed_without_matplotlib():
    code = "import npylstm.experiments.gallery, sys; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------- the cliff


def unit_error(w, b, T):
    x = 0.5
    for _ in range(T):
        x = w / (1 + math.exp(-x)) + b
    return (1 / (1 + math.exp(-x)) - 0.7) ** 2


def test_the_error_at_the_cliff_is_the_one_of_the_paper_and_its_gradient_is_right():
    w, b = np.array([4.9, 3.0]), np.array([-2.0, 1.0])
    value, gradient = cliff.error(w, b, 50)
    for k in range(2):
        assert value[k] == pytest.approx(unit_error(w[k], b[k], 50), rel=1e-12)
        dw = (unit_error(w[k] + 1e-6, b[k], 50) - unit_error(w[k] - 1e-6, b[k], 50)) / 2e-6
        db = (unit_error(w[k], b[k] + 1e-6, 50) - unit_error(w[k], b[k] - 1e-6, 50)) / 2e-6
        assert gradient["w"][k] == pytest.approx(dw, rel=1e-5)
        assert gradient["b"][k] == pytest.approx(db, rel=1e-5)


def test_clipping_bounds_every_step_and_only_the_unclipped_descent_is_thrown_out():
    clipped, errors = cliff.descend(0.4, 40, 50, clip=0.2)
    free, _ = cliff.descend(0.4, 40, 50, clip=None)
    steps = np.linalg.norm(np.diff(clipped, axis=0), axis=1)
    assert steps.max() <= 0.4 * 0.2 * (1 + 1e-12)
    assert np.linalg.norm(np.diff(free, axis=0), axis=1).max() > 10
    assert errors[-1] < 0.1 * errors[0]


# ------------------------------------------------------------------------------ what is measured


def test_the_bounds_are_above_the_norms():
    result = PICTURES["bound"].run()
    for row in result.rows:
        bound, product, norm = (result.curves[f"{row['W_h']}, {line}"] for line in (
            "bound", "product of norms", "norm of the product"))  # fmt: skip
        assert (product <= bound[:, None] * (1 + 1e-9)).all()
        assert (norm <= product * (1 + 1e-9)).all()


def test_the_half_life_of_a_fresh_unit_follows_from_its_forget_bias():
    """Small weights leave f close to σ(b), whose half-life is ln 2 / ln(1 + exp(-b))."""
    for row in PICTURES["half-life"].run().rows:
        if row["network"].startswith("LSTM, forget bias"):
            bias = int(row["network"][-1])
            expected = math.log(2) / math.log1p(math.exp(-bias))
            assert row["median"] == pytest.approx(expected, rel=0.3)


def test_at_the_start_the_gradient_travels_farther_the_larger_the_forget_bias():
    result = PICTURES["gradient-lag"].run()
    norms = {row["network"]: row["norm at lag 19, at the start"] for row in result.rows}
    biases = [norms[f"LSTM, forget bias {b}"] for b in (0, 1, 3, 5)]
    assert biases == sorted(biases)
    assert biases[0] < 1e-3 < biases[2]


def test_the_first_exponent_tells_the_slope_of_the_log_gradient_norm():
    rows, curves = lyapunov.measure(None, seeds=2, hidden=32, sequences=20, lags=(200, 600))
    assert {name for name in curves if "exponents" not in name} == set(lyapunov.NETWORKS)
    for row in rows:
        exponent = pytest.approx(row["first exponent"], rel=0.1, abs=1e-3)
        assert row["slope of ln gradient norm"] == exponent
    exponents = {row["network"]: row["first exponent"] for row in rows}
    assert exponents["LSTM, forget bias 0"] < exponents["LSTM, forget bias 1"] < -0.05
    assert abs(exponents["LSTM, forget bias 3"]) < 0.05


# --------------------------------------------------------------------------------------- drawing


@pytest.fixture
def ax():
    return Figure().subplots()


def test_lines_against_lag_are_the_median_and_zeros_are_left_out(ax):
    lines = {"a": np.array([[1.0, 2.0, 30.0], [0.0, 0.0, 0.0]]), "b": [4.0, 5.0]}
    assert gradient_plots.plot_against_lag(ax, lines, "title") is ax
    a, b = ax.get_lines()
    np.testing.assert_array_equal(a.get_ydata(), [2, np.nan])
    np.testing.assert_array_equal(b.get_ydata(), [4, 5])
    assert ax.get_yscale() == "log"


def test_the_map_shows_lags_upwards_and_updates_to_the_right(ax):
    norms = np.array([[1.0, 0.1, 1e-9], [1.0, 1.0, 1.0]])
    assert gradient_plots.plot_training_map(ax, [0, 10], norms, [0.1, 0.9], "title") is ax
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array(), [[1, 1], [0.1, 1], [1e-5, 1]])


def test_activations_are_drawn_as_fractions_of_all(ax):
    gates = {"f": np.array([[0.01, 0.02], [0.99, 0.5]])}
    assert gradient_plots.plot_activations(ax, gates, "title") is ax
    heights = ax.patches[0].get_data().values
    assert heights.sum() == pytest.approx(1)
    assert heights[0] == pytest.approx(0.5)


def test_half_lives_are_drawn_from_the_shortest(ax):
    assert gradient_plots.plot_half_lives(ax, {"f": np.array([8.0, 2.0])}, "title") is ax
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), [2, 8])
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [0.5, 1])


def test_a_trace_has_a_row_for_each_unit(ax):
    trace = np.arange(6.0).reshape(3, 2)
    assert gradient_plots.plot_trace(ax, trace, "title", (0, 5)) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), trace.T)


def test_exponents_are_drawn_as_straight_lines_beside_the_norms(ax):
    norms = {"a": np.array([2.0, 1.0, 0.0])}
    assert gradient_plots.plot_exponents(ax, norms, [-1.0], "title") is ax
    line, marks = ax.get_lines()
    np.testing.assert_allclose(line.get_ydata(), marks.get_ydata())
