"""The synthetic tasks are what their papers say they are."""

import re
from collections import defaultdict

import numpy as np
import pytest

from npylstm.data import tasks
from npylstm.models.losses import softmax_cross_entropy

EXAMPLES = ["BTSSXXTVVE", "BPVVE", "BTXSE", "BPVPXVPXVVE"]
AFTER_3 = "T*V(PXT*V)*(V|PS)"
REBER = f"B(TS*X(S|X{AFTER_3})|P{AFTER_3})E"


def letters(one_hot, alphabet):
    return "".join(alphabet[k] for k in one_hot.argmax(axis=-1))


def draw_all(rng, size):
    yield tasks.adding(rng, 20, size)
    yield tasks.adding_1997(rng, 30, size)
    yield tasks.temporal_order(rng, 20, size)
    yield tasks.temporal_order_1997(rng, size)
    yield tasks.copy(rng, 5, size)
    yield tasks.two_sequence(rng, 20, size)
    yield tasks.long_lag(rng, 5, 3, size)
    yield tasks.embedded_reber(rng, size)


def test_the_same_seed_draws_the_same_and_another_draws_something_else():
    for a, b, c in zip(draw_all(7, 4), draw_all(7, 4), draw_all(8, 4), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        assert not np.array_equal(a.xs, c.xs)


def test_size_stands_between_time_and_features_and_the_past_of_the_end_is_zero():
    for batch in draw_all(0, (3, 2)):
        assert batch.xs.shape[1:3] == batch.lengths.shape == (3, 2)
        assert len(batch.xs) == batch.lengths.max()
        t = np.arange(len(batch.xs))[:, None, None]
        assert not batch.xs[t >= batch.lengths].any()


def test_adding_marks_one_step_of_each_half_and_asks_for_the_sum():
    xs, targets, _ = tasks.adding(0, 11, 500)
    values, markers = xs[..., 0], xs[..., 1]
    assert np.array_equal(markers[:5].sum(axis=0), np.ones(500))
    assert np.array_equal(markers[5:].sum(axis=0), np.ones(500))
    np.testing.assert_allclose((values * markers).sum(axis=0), targets[:, 0], rtol=1e-6)
    assert (markers.sum(axis=1) > 0).all()  # every step gets its turn
    assert values.min() >= 0
    assert values.max() < 1


def test_adding_costs_a_sixth_when_the_answer_is_always_one():
    targets = tasks.adding(0, 10, 100_000).targets
    assert ((targets - 1) ** 2).mean() == pytest.approx(1 / 6, rel=0.02)


def test_adding_1997_follows_the_paper():
    T, n = 100, 3000
    xs, targets, lengths = tasks.adding_1997(0, T, n)
    assert (lengths.min(), lengths.max()) == (100, 110)
    assert (xs[0, :, 1] == -1).all()
    assert (xs[lengths - 1, np.arange(n), 1] == -1).all()
    assert np.array_equal(np.unique(xs[..., 1]), [-1, 0, 1])
    for k in range(n):
        marked = np.flatnonzero(xs[:, k, 1] == 1)
        assert len(marked) in (1, 2)  # one, if the first step was drawn: it shows -1 and counts 0
        assert marked[0] < 49
        assert len(marked) == 1 or marked[0] < 10
        assert marked[-1] < T // 2 - 1
        expected = 0.5 + xs[marked, k, 0].sum() / 4
        assert targets[k, 0] == pytest.approx(expected)
    assert targets.var() == pytest.approx(1 / 24, rel=0.1)


def test_temporal_order_stands_where_pascanu_put_it_and_has_four_classes():
    T, n = 50, 2000
    xs, targets, _ = tasks.temporal_order(0, T, n)
    symbols = xs.argmax(axis=-1)
    where = [np.flatnonzero(symbols[:, k] < 2) for k in range(n)]
    assert {len(steps) for steps in where} == {2}
    first, second = np.array(where).T
    assert (set(first), set(second)) == (set(range(5, 10)), set(range(25, 30)))
    v0, v1 = symbols[first, np.arange(n)], symbols[second, np.arange(n)]
    assert np.array_equal(targets, v0 + 2 * v1)
    assert np.bincount(targets, minlength=4).min() > n / 5
    assert np.array_equal(np.unique(symbols), range(6))


@pytest.mark.parametrize(("signals", "places"), [(2, (10, 50)), (3, (10, 33, 66))])
def test_temporal_order_1997_follows_the_paper(signals, places):
    n = 3000
    xs, targets, lengths = tasks.temporal_order_1997(0, n, signals=signals)
    assert (lengths.min(), lengths.max()) == (100, 110)
    strings = [letters(xs[:L, k], "EBabcdXY") for k, L in enumerate(lengths)]
    seen = [set() for _ in places]
    for string, target in zip(strings, targets, strict=True):
        assert re.fullmatch("E[abcdXY]+B", string)
        steps = [t for t, letter in enumerate(string) if letter in "XY"]
        assert len(steps) == signals
        for k, t in enumerate(steps):
            seen[k].add(t)
        assert target == sum(2**k for k, t in enumerate(steps) if string[t] == "Y")
    assert seen == [set(range(start, start + 11)) for start in places]


def test_copy_repeats_the_string_and_is_blank_elsewhere():
    T, digits = 7, 3
    xs, targets, _ = tasks.copy(0, T, 50, digits)
    symbols = xs.argmax(axis=-1)
    assert symbols.shape == (T + 2 * digits, 50)
    assert np.array_equal(symbols[:digits], targets[-digits:])
    assert set(np.unique(symbols[:digits])) == set(range(1, 9))
    assert not targets[:-digits].any()
    assert (symbols[digits + T - 1] == 9).all()
    rest = np.delete(symbols, [*range(digits), digits + T - 1], axis=0)
    assert not rest.any()


def test_copy_without_memory_costs_ten_ln_8_over_t_plus_20():
    T = 100
    targets = tasks.copy(0, T, 4).targets
    logits = np.full((*targets.shape, 9), -1e3)
    logits[:-10, :, 0] = 0
    logits[-10:, :, 1:] = 0
    loss, _ = softmax_cross_entropy(logits, targets)
    assert loss.mean() == pytest.approx(0.1733, abs=5e-5)  # 10 ln 8 / 120


def test_two_sequence_shows_its_class_first_and_then_only_noise():
    T, N, n = 100, 3, 2000
    xs, labels, lengths = tasks.two_sequence(0, T, n, N, dtype=np.float64)
    assert (lengths.min(), lengths.max()) == (100, 110)
    assert np.array_equal(xs[:N, :, 0], np.tile(2.0 * labels - 1, (N, 1)))
    noise = xs[N:T, :, 0]
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.var() == pytest.approx(0.2, rel=0.02)
    assert labels.mean() == pytest.approx(0.5, abs=0.05)


def test_long_lag_follows_the_paper():
    q, p, n = 6, 4, 5000
    xs, labels, lengths = tasks.long_lag(0, q, p, n)
    for k, L in enumerate(lengths):
        string = letters(xs[:L, k], "xybe0123")
        assert re.fullmatch(rf"b[xy][0-3]{{{q},}}e", string)
        assert (string[1] == "y") == labels[k]
    # With the symbol to be predicted a sequence has q + 4 symbols or more, q + 13 on average.
    assert lengths.min() + 1 == q + 4
    assert lengths.mean() + 1 == pytest.approx(q + 13, abs=0.5)


def test_the_reber_pattern_of_this_test_accepts_the_usual_examples():
    assert all(re.fullmatch(REBER, example) for example in EXAMPLES)
    assert not re.fullmatch(REBER, "BTSSXXTVPE")


def test_embedded_reber_strings_are_grammatical_and_of_mean_length_twelve():
    n = 20_000
    xs, targets, _, lengths = tasks.embedded_reber(0, n)
    strings = set()
    for k, L in enumerate(lengths):
        string = letters(xs[:L, k], tasks.REBER_SYMBOLS)
        assert letters(targets[: L - 1, k], tasks.REBER_SYMBOLS) == string[1:]
        strings.add(string + letters(targets[L - 1 : L, k], tasks.REBER_SYMBOLS))
    assert all(re.fullmatch(f"B(T{REBER}T|P{REBER}P)E", string) for string in strings)
    assert all(f"BT{example}TE" in strings for example in EXAMPLES[1:3])
    assert lengths.mean() + 1 == pytest.approx(12, abs=0.1)
    assert lengths.min() + 1 == 9


def test_legal_symbols_are_those_that_follow_the_same_beginning():
    xs, targets, legal, lengths = tasks.embedded_reber(0, 20_000)
    follow = defaultdict(set)
    allowed = {}
    for k, L in enumerate(lengths):
        string = letters(xs[:L, k], tasks.REBER_SYMBOLS)
        for t in range(L):
            follow[string[: t + 1]].add(int(targets[t, k].argmax()))
            allowed[string[: t + 1]] = set(np.flatnonzero(legal[t, k]))
    assert all(follow[start] <= allowed[start] for start in follow)
    short = [start for start in follow if len(start) < 6]
    assert all(follow[start] == allowed[start] for start in short)
    past_the_end = np.arange(len(xs))[:, None] >= lengths
    assert not legal[past_the_end].any()


def test_a_reber_stream_goes_on_without_end_and_announces_what_may_come():
    stream = tasks.EmbeddedReber(0, 5)
    text = [""] * 5
    legal = stream.legal
    for _ in range(200):
        symbol = stream.step()
        assert legal[np.arange(5), symbol].all()
        legal = stream.legal
        text = [t + tasks.REBER_SYMBOLS[k] for t, k in zip(text, symbol, strict=True)]
    for t in text:
        assert re.match(f"(B(T{REBER}T|P{REBER}P)E){{5,}}", t)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: tasks.adding(0, 1, 3), "T must be .* got 1"),
        (lambda: tasks.adding_1997(0, 10, 3), "T must be .* got 10"),
        (lambda: tasks.temporal_order(0, 9, 3), "T must be .* got 9"),
        (lambda: tasks.temporal_order_1997(0, 3, signals=4), "signals must be one of 2, 3, got 4"),
        (lambda: tasks.copy(0, 5, 3, digits=0), "digits must be a positive integer, got 0"),
        (lambda: tasks.two_sequence(0, 5, 3, N=6), "N must be .* got 6"),
        (lambda: tasks.two_sequence(0, 5, 3, spread=-1), "spread must be .* got -1"),
        (lambda: tasks.long_lag(0, 5, 0, 3), "p must be a positive integer, got 0"),
        (lambda: tasks.adding(0, 2.5, 3), "T must be a positive integer, got 2.5"),
        (lambda: tasks.adding_1997(0, 22.0, 3), "T must be a positive integer, got 22.0"),
        (lambda: tasks.temporal_order(0, 10.5, 3), "T must be a positive integer, got 10.5"),
        (lambda: tasks.temporal_order_1997(0, 3, "a"), "T must be a positive integer, got 'a'"),
        (lambda: tasks.two_sequence(0, 5, 3, N=1.5), "N must be a positive integer, got 1.5"),
        (lambda: tasks.embedded_reber(0, (2, 0)), "size must be a positive integer, got 0"),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
