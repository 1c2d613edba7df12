"""Text for character models: nothing gets lost on the way in, and what is drawn follows p."""

import numpy as np
import pytest
import standin

from npylstm.cells.lstm import LSTMCell
from npylstm.cells.rnn import RNNCell
from npylstm.data.text import Vocabulary, load_text, windows
from npylstm.models.generation import generate
from npylstm.models.model import SequenceModel
from npylstm.sequence.layers import Stack
from npylstm.training.optimizers import Adam

TEXT = "Ein kleines Männchen — 🙂\nim Walde"


def language_model(K, layer=None):
    return SequenceModel(layer or LSTMCell(K, 6), K, every_step=True, head_std=0.5)


def test_encoding_and_decoding_give_the_text_back():
    vocabulary = Vocabulary.of(TEXT)
    codes = vocabulary.encode(TEXT)
    assert vocabulary.decode(codes) == TEXT
    assert set(codes) == set(range(len(vocabulary)))


def test_a_character_that_is_not_in_the_vocabulary_is_named():
    with pytest.raises(ValueError, match=r"text must be made of 'abn', got 'e'"):
        Vocabulary.of("banana").encode("zebra")


@pytest.mark.parametrize("codes", [[-1, 0], [0, 3]])
def test_a_number_that_is_not_in_the_vocabulary_is_refused(codes):
    with pytest.raises(ValueError, match=r"codes must be between 0 and 2, got"):
        Vocabulary.of("banana").decode(codes)


@pytest.mark.parametrize("characters", ["", "abca"])
def test_a_vocabulary_holds_each_character_once(characters):
    with pytest.raises(ValueError, match="characters must be one or more, all different"):
        Vocabulary(characters)


def test_every_python_carries_a_text_that_is_long_enough_to_learn_from():
    text = load_text()
    assert len(text) > 300_000
    assert "statement" in text


def test_a_file_is_read_as_utf_8_with_or_without_a_byte_order_mark(tmp_path):
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "text").write_text(TEXT, encoding)
        assert load_text(tmp_path / "text") == TEXT


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "latin").write_bytes("Männchen".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin must be a text in UTF-8"):
        load_text(tmp_path / "latin")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_text(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [5, (2, 5)])
def test_a_window_is_a_piece_of_the_text_and_its_targets_are_one_ahead(size):
    codes = np.arange(20)
    xs, targets, lengths = windows(0, codes, 20, 7, size, np.float64)
    assert xs.dtype == np.float64
    np.testing.assert_array_equal(xs.sum(axis=-1), 1)
    np.testing.assert_array_equal(xs.argmax(axis=-1) + 1, targets)
    np.testing.assert_array_equal(np.diff(targets, axis=0), 1)
    np.testing.assert_array_equal(lengths, np.full(size, 7))


def test_windows_reach_from_the_first_character_to_the_last():
    xs, targets, _ = windows(0, np.arange(9), 9, 7, 50)
    assert set(xs[0].argmax(axis=-1)) == {0, 1}
    assert set(targets[-1]) == {7, 8}


def test_a_text_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="codes must be more than T = 7 characters, got 7"):
        windows(0, np.zeros(7, int), 1, 7, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_symbols_are_drawn_with_probabilities_that_the_temperature_sharpens(temperature):
    model = language_model(4)
    params = model.init(0)
    params["W_y"], params["b_y"] = np.zeros((6, 4)), np.array([0.0, 1.0, -1.0, 0.5])
    drawn = generate(model, params, [0], 4000, temperature, rng=1)
    odds = np.exp(params["b_y"] / temperature)
    p = odds / odds.sum()
    deviation = np.bincount(drawn, minlength=4) / 4000 - p
    assert (abs(deviation) < 4 * np.sqrt(p * (1 - p) / 4000)).all()


@pytest.mark.parametrize("layer", [RNNCell(5, 6), Stack([LSTMCell(5, 4), LSTMCell(4, 6)])])
def test_carrying_the_state_equals_reading_all_from_the_start(layer):
    model = language_model(5, layer)
    params = model.init(3)
    symbols = [2, 0, 4]
    for symbol in generate(model, params, symbols, 12, temperature=1e-9):
        logits = model.predict(params, np.eye(5)[symbols][:, None])
        assert symbol == logits[-1, 0].argmax()
        symbols.append(int(symbol))


def test_the_same_seed_writes_the_same():
    model = language_model(5)
    params = model.init(0, np.float32)
    first, again, other = (generate(model, params, [1], 40, rng=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_model_on_a_device_writes_what_it_writes_on_the_cpu():
    model = language_model(5)
    params = model.init(0)
    moved = {name: standin.asarray(array) for name, array in params.items()}
    np.testing.assert_array_equal(
        generate(model, moved, [1, 2], 20, rng=0), generate(model, params, [1, 2], 20, rng=0)
    )


def test_a_model_that_has_learnt_a_text_by_heart_writes_it_on():
    text = "aabab" * 40  # what follows an a depends on the letters before
    vocabulary = Vocabulary.of(text)
    codes = vocabulary.encode(text)
    model = language_model(len(vocabulary), LSTMCell(2, 8))
    params, optimizer = model.init(0, np.float32), Adam(0.03)
    slots, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(150):
        batch = windows(rng, codes, 2, 15, 8)
        _, grads = model.loss_and_grads(params, batch.xs, batch.targets)
        params, slots = optimizer.update(params, grads, slots)
    written = generate(model, params, codes[:10], 40, temperature=0.1, rng=0)
    assert vocabulary.decode(written) == text[10:50]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": SequenceModel(LSTMCell(5, 6), 5)}, "model must predict the next of K symbols"),
        ({"model": language_model(5, LSTMCell(4, 6))}, "model must predict the next of K symbols"),
        ({"prompt": []}, "prompt must be one or more integers"),
        ({"prompt": [5]}, r"prompt must be one or more integers from 0 to 4, got \[5\]"),
        ({"prompt": [0.5]}, "prompt must be one or more integers"),
        ({"length": 0}, "length must be a positive integer, got 0"),
        ({"temperature": 0.0}, "temperature must be a finite number"),
    ],
)
def test_what_cannot_be_continued_is_refused(change, message):
    model = language_model(5)
    arguments = {"model": model, "params": model.init(0), "prompt": [0], "length": 3}
    with pytest.raises(ValueError, match=message):
        generate(**(arguments | change))
