"""What is said of a study's result: computed from its own numbers, and legible in a terminal."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from npylstm.cli import main
from npylstm.experiments import EXPERIMENTS, PICTURES, Study, StudyResult, Verdict
from npylstm.experiments.study import KNOWN, duration, layout, solved_interval, solved_row
from npylstm.plots import plot_solved

STORED = Path(__file__).parents[1] / "docs" / "results"
ALL = EXPERIMENTS | PICTURES


def simple(**changes):
    """Return a study that takes no time."""

    def measure(executor, *, n, seed):
        return [{"n": n, "nothing": float("nan"), "endless": np.inf}], {"curve": np.arange(n)}

    study = Study(
        name="simple",
        title="A simple study",
        published="nothing",
        measure=measure,
        draw=lambda figure, result: figure.subplots().plot(result.curves["curve"]),
        verdict=lambda result: Verdict(f"there are {len(result.curves['curve'])}"),
        full={"n": 5, "seed": 0},
        fast={"n": 2},
        deviations=("only {n:,} of them",),
        caption="All {n} of them.",
    )
    return dataclasses.replace(study, **changes)


# --------------------------------------------------------------------------- files


def test_where_results_are_already_nothing_is_run(tmp_path):
    def measure(executor, **options):
        raise AssertionError("the study ran")

    (tmp_path / "simple.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"simple\.png exists already"):
        simple(measure=measure).perform(tmp_path)


def test_a_file_that_appears_while_a_study_is_saved_is_kept(tmp_path):
    table = tmp_path / "simple.csv"

    def draw(figure, result):
        figure.savefig = lambda *_args, **_options: table.write_text("of another process")

    with pytest.raises(FileExistsError, match=r"simple\.csv exists already"):
        simple(draw=draw).perform(tmp_path)
    assert list(tmp_path.iterdir()) == [table]
    assert table.read_text() == "of another process"


# --------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("solved", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_of_a_fraction_is_the_published_one(solved, n, low, high):
    """Newcombe (1998), Statistics in Medicine 17, table I, method 3."""
    assert solved_interval(solved, n) == pytest.approx((low, high), abs=5e-5)


def test_median_and_quartiles_count_the_networks_that_were_given_up():
    row = solved_row(np.array([100.0, np.nan, 300, 200, np.nan]), 1000, "updates")
    assert row["solved"] == "3/5"
    assert row["median updates"] == "300"
    assert row["quartiles"] == "200 to > 1,000"
    assert solved_row(np.array([np.nan] * 3), 50, "updates")["median updates"] == "> 50"


def test_what_is_no_number_is_none_in_a_table_and_can_be_stored(tmp_path):
    result = simple().perform(tmp_path)
    assert result.rows == [{"n": 2, "nothing": None, "endless": "inf"}]
    assert json.loads((tmp_path / "simple.json").read_text())["rows"] == result.rows


# --------------------------------------------------------------------------- words


def test_everything_said_speaks_of_the_settings_that_ran():
    study = simple()
    fast, full = study.run(), study.run(full=True)
    assert fast.deviations == ("only 2 of them",)
    assert fast.caption == "All 2 of them."
    assert (fast.verdict, full.verdict) == ("There are 2", "There are 5")
    assert "npylstm experiment simple --full" in study.report(fast)
    assert "--full" not in study.report(full)
    for name in ("temporal-order", "adding", "copy", "two-sequence", "greff"):
        study = EXPERIMENTS[name]
        settings = study.settings()
        said = [text.format(**settings) for text in study.deviations]
        assert any(f"at most {settings['max_updates']:,} updates" in text for text in said), name


def test_a_verdict_says_whether_it_agrees_with_the_paper():
    assert str(Verdict("so it is", True)) == "As published: so it is"
    assert str(Verdict("so it is", False)) == "Not as published: so it is"
    assert str(Verdict("so it is")) == "So it is"


def found(name, solved, n=5, **settings):
    """Return the result of a study of success in which so many of n networks solved the task."""
    study = EXPERIMENTS[name]
    settings = study.settings() | {"seeds": n, "cells": list(solved), "lengths": [10]} | settings
    curves = {
        f"{network}, T=10": np.where(np.arange(n) < count, 100.0, np.nan)
        for network, count in solved.items()
    }
    return study.result(settings, [{"T": 10}], curves)


@pytest.mark.parametrize(
    ("gated", "plain", "start"),
    [(5, 0, "As published"), (4, 1, "As published"), (3, 0, "Not as"), (5, 2, "Not as")],
)
def test_the_verdict_on_lengths_follows_the_counts(gated, plain, start):
    counts = {"tanh RNN, glorot": plain, "LSTM, chrono": gated, "LSTM, forget bias 1": 0}
    verdict = found("temporal-order", counts).verdict
    assert verdict.startswith(start)
    assert f"{gated} of 5 networks learn it with gates (LSTM, chrono)" in verdict
    assert f"{plain} of 5 without (tanh RNN, glorot)" in verdict


def test_a_variant_is_worse_only_where_the_intervals_lie_apart():
    counts = {f"Greff {name}": 10 for name in ("V", "NFG", "NOAF", "NP")}
    assert "learn" not in found("greff", counts, 10).verdict
    same = found("greff", counts, 10).verdict
    start = "Not as published: clearly worse than the vanilla LSTM at T = 10: none, of 3"
    assert same.startswith(start)
    worse = found("greff", counts | {"Greff NFG": 2, "Greff NOAF": 3, "Greff NP": 8}, 10).verdict
    assert worse.startswith("As published")
    assert "T = 10: NFG, NOAF, of 3 variants" in worse


@pytest.mark.parametrize(
    ("times", "cap", "start"),
    [
        ([20_000, 30_000], 60_000, "As published: 2 of 2"),
        ([20_000, np.nan], 60_000, "Not as published: 1 of 2"),
        ([70_000, 80_000], 100_000, "Not as published: 2 of 2"),
        ([np.nan, np.nan], 30_000, "0 of 2"),
    ],
)
def test_the_verdict_on_1997_follows_the_times(times, cap, start):
    study = EXPERIMENTS["temporal-order-1997"]
    curves = {"solved at": np.array(times), "published": np.array(31_390)}
    settings = study.settings() | {"max_sequences": cap}
    assert study.result(settings, [{}], curves).verdict.startswith(start)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_stored_results_say_what_their_numbers_say(name):
    stored = StudyResult.load(STORED, name)
    study = EXPERIMENTS[name]
    again = study.result(stored.settings, stored.rows, stored.curves)
    for part in ("title", "published", "deviations", "caption", "verdict"):
        assert getattr(again, part) == getattr(stored, part), part
    assert KNOWN.get(name, {}).get("found", stored.verdict) == stored.verdict


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_stored_results_are_those_of_the_full_settings(name):
    stored, full = StudyResult.load(STORED, name).settings, EXPERIMENTS[name].full
    free = {"data", "device"}
    assert {key: json.dumps(stored[key]) for key in stored if key not in free} == {
        key: json.dumps(full[key]) for key in full if key not in free
    }


# --------------------------------------------------------------------------- in a terminal


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (3, 2), (9, 4), (30, 1), (30, 5)])
def test_any_table_fits_80_columns(columns, rows):
    heads = [f"column {k}, with a rather long heading that goes on and on" for k in range(columns)]
    table = [{head: f"value {r}.{k}" for k, head in enumerate(heads)} for r in range(rows)]
    text = layout(table)
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"value {r}.{k}" in text for r in range(rows) for k in range(columns))


def test_each_part_of_a_wide_table_names_its_rows():
    row = {f"a long heading, number {k}": 1.0 for k in range(9)}
    text = layout([{"T": T, "network": n} | row for T in (5, 50) for n in ("red", "blue")])
    parts = text.split("\n\n")
    assert len(parts) > 1
    assert all(part.count("red") == part.count("blue") == 2 for part in parts)


@pytest.mark.parametrize(("name", "study"), ALL.items())
def test_titles_fit_the_list(name, study):
    assert len(f"{name:20} {study.title}") <= 80
    assert study.title[0].isupper()


def test_how_long_a_run_takes_is_said_before_it_starts(capsys, monkeypatch):
    monkeypatch.setitem(KNOWN, "cliff", {"fast": 3.2, "full": 240})
    assert main(["figure", "cliff", "--fast", "--out", "pictures"]) == 0
    assert "cliff: about 3 s on one core" in capsys.readouterr().err
    assert duration(0.2) == "about 1 s"
    assert duration(240) == "about 4 min"
    assert duration(7200) == "about 2.0 h"
    monkeypatch.setitem(KNOWN, "adding", {"fast": 10.0})
    assert EXPERIMENTS["adding"].seconds(seeds=50) == 100
    assert simple().seconds() is None


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_all_runs_every_study_that_is_not_there_yet(capsys, monkeypatch, tmp_path):
    two = {name: simple(name=name) for name in ("first", "second")}
    monkeypatch.setattr("npylstm.experiments.PICTURES", two)
    two["first"].perform(tmp_path / "out")
    before = (tmp_path / "out" / "first.json").read_bytes()
    assert main(["figure", "all", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert "first: done already" in said.err
    assert "There are 5" in said.out
    assert (tmp_path / "out" / "first.json").read_bytes() == before
    assert (tmp_path / "out" / "second.png").exists()


def test_files_appear_only_when_all_is_done(tmp_path):
    def fail(figure, result):
        raise RuntimeError("no ink")

    with pytest.raises(RuntimeError, match="no ink"):
        simple(draw=fail).perform(tmp_path)
    assert not list(tmp_path.iterdir())
    broken = simple(measure=lambda executor, **_: ([{"n": object()}], {"curve": np.arange(3)}))
    with pytest.raises(TypeError):
        broken.perform(tmp_path)
    assert not list(tmp_path.iterdir())
    simple().perform(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


# --------------------------------------------------------------------------- drawing


def test_success_is_drawn_as_it_was_counted():
    ax = Figure().subplots()
    solved = np.array([[5, 0], [4, 1]])
    assert plot_solved(ax, solved, 5, ["a", "b"], [10, 1000]) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1, 0], [0.8, 0.2]])
    assert [text.get_text() for text in ax.texts] == ["5/5", "0/5", "4/5", "1/5"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "1,000"]


# --------------------------------------------------------------------------- the defaults


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_study_runs_at_its_defaults(name, tmp_path, assert_legible):
    study = ALL[name]
    result = study.perform(tmp_path, full=name in PICTURES)
    assert len(list(tmp_path.iterdir())) == 4
    assert_legible(study.figure(result))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["temporal-order", "adding", "copy", "two-sequence"])
def test_the_default_shows_the_point(name):
    """At the longest T some LSTM solves at least four of five, some tanh RNN at most one."""
    result = EXPERIMENTS[name].run()
    T = max(result.settings["lengths"])
    share = {
        network: np.isfinite(result.curves[f"{network}, T={T}"]).mean()
        for network in result.settings["cells"]
    }
    assert max(share[network] for network in share if network.startswith("LSTM")) >= 0.8
    assert min(share[network] for network in share if network.startswith("tanh")) <= 0.2
