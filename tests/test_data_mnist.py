"""MNIST: the sample that comes with the package, the split, the rows, and what is refused."""

import gzip
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from draw_mnist_sample import draw_sample, idx_bytes

import npylstm.data
from npylstm.data import load_mnist, row_sequences

SAMPLE = Path(npylstm.data.__file__).parent / "sample"
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


@pytest.fixture
def arrays():
    """Twelve training digits and five test digits, each of which can be told from the others."""
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (12, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": rng.integers(0, 10, 12, np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (5, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 5, np.uint8),
    }


def write(folder, arrays, separator="-", ending="", pack=bytes):
    for name, array in arrays.items():
        path = folder / (name.replace("-idx", f"{separator}idx") + ending)
        path.write_bytes(pack(idx_bytes(array)))


# The sample


def test_the_sample_has_the_published_checksums():
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    published = dict(re.findall(r"`(\S+\.gz)` \| `([0-9a-f]{64})`", readme))
    assert published == {
        path.name: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in SAMPLE.glob("*.gz")
    }
    assert sorted(published) == sorted(f"{name}.gz" for name in NAMES)


def test_the_sample_is_balanced():
    mnist = load_mnist()
    assert mnist.train.images.shape == (10_000, 28, 28)
    assert mnist.validation.images.shape == (0, 28, 28)
    assert mnist.test.images.shape == (2_000, 28, 28)
    assert np.bincount(mnist.train.labels).tolist() == [1_000] * 10
    assert np.bincount(mnist.test.labels).tolist() == [200] * 10


@pytest.mark.skipif("NPYLSTM_MNIST" not in os.environ, reason="NPYLSTM_MNIST: folder of full MNIST")
def test_the_sample_follows_its_rule():
    for name, content in draw_sample(os.environ["NPYLSTM_MNIST"]).items():
        assert gzip.decompress((SAMPLE / name).read_bytes()) == content, name


# A folder


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_usual_file_names_are_found(tmp_path, arrays, separator, ending, pack):
    write(tmp_path, arrays, separator, ending, pack)
    mnist = load_mnist(tmp_path, validation_size=0)
    np.testing.assert_array_equal(mnist.train.images, arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(mnist.train.labels, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(mnist.test.images, arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(mnist.test.labels, arrays["t10k-labels-idx1-ubyte"])


def test_validation_is_the_head_of_the_training_file(tmp_path, arrays):
    write(tmp_path, arrays)
    mnist = load_mnist(tmp_path, validation_size=4)
    np.testing.assert_array_equal(mnist.validation.images, arrays["train-images-idx3-ubyte"][:4])
    np.testing.assert_array_equal(mnist.validation.labels, arrays["train-labels-idx1-ubyte"][:4])
    np.testing.assert_array_equal(mnist.train.images, arrays["train-images-idx3-ubyte"][4:])
    np.testing.assert_array_equal(mnist.train.labels, arrays["train-labels-idx1-ubyte"][4:])
    assert len(mnist.test.labels) == 5


def test_a_full_set_is_split_as_in_tensorflow(tmp_path, arrays):
    arrays["train-images-idx3-ubyte"] = np.zeros((60_000, 28, 28), np.uint8)
    arrays["train-labels-idx1-ubyte"] = np.zeros(60_000, np.uint8)
    write(tmp_path, arrays)
    mnist = load_mnist(tmp_path)
    assert (len(mnist.train.labels), len(mnist.validation.labels)) == (55_000, 5_000)


@pytest.mark.parametrize("size", [-1, 12, 5000, 0.1, "3"])
def test_a_validation_size_that_does_not_fit_is_refused(tmp_path, arrays, size):
    write(tmp_path, arrays)
    with pytest.raises(ValueError, match=f"validation_size must be .* 0 to 11, got {size!r}"):
        load_mnist(tmp_path, size)


def test_the_users_files_are_only_read(tmp_path, arrays):
    write(tmp_path, arrays, ending=".gz", pack=gzip.compress)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    mnist = load_mnist(tmp_path, 2)
    mnist.train.images[:] = 0
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()}


# What is refused


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
        load_mnist(tmp_path / "nowhere")


def test_missing_files_are_named(tmp_path, arrays):
    del arrays["t10k-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"]
    write(tmp_path, arrays)
    with pytest.raises(FileNotFoundError) as error:
        load_mnist(tmp_path)
    assert re.findall(r"[\w-]+-ubyte", str(error.value)) == [NAMES[1], NAMES[2]]


BAD = {
    "images as labels": ("t10k-labels-idx1-ubyte", np.zeros((5, 28, 28)), "expected labels (N,)"),
    "labels as images": ("t10k-images-idx3-ubyte", np.zeros(5), "expected images (N, 28, 28)"),
    "wrong image size": ("t10k-images-idx3-ubyte", np.zeros((5, 28, 27)), "got shape (5, 28, 27)"),
    "numbers differ": ("train-labels-idx1-ubyte", np.zeros(11), "holds 12 images"),
    "label beyond 9": ("t10k-labels-idx1-ubyte", np.array([0, 9, 10, 1, 2]), "got 10 at 2"),
}


@pytest.mark.parametrize(("name", "array", "message"), BAD.values(), ids=BAD)
def test_data_that_is_not_mnist_is_refused_by_file(tmp_path, arrays, name, array, message):
    arrays[name] = array.astype(np.uint8)
    write(tmp_path, arrays)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_mnist(tmp_path, validation_size=0)
    assert str(tmp_path / name) in str(error.value)


def test_a_damaged_file_is_named(tmp_path, arrays):
    write(tmp_path, arrays, ending=".gz", pack=gzip.compress)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_mnist(tmp_path)


# Rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_step_t_sees_row_t_of_every_image(dtype):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    xs = row_sequences(images, dtype)
    assert xs.shape == (4, 3, 5)
    assert xs.dtype == dtype
    assert xs.swapaxes(0, 1).flags.c_contiguous, "a picture stays in one piece"
    for n in range(3):
        for t in range(4):
            np.testing.assert_array_equal(xs[t, n], images[n, t].astype(dtype) * dtype(1 / 255))


def test_ink_is_exactly_one_and_paper_exactly_zero():
    for dtype in (np.float16, np.float32, np.float64):
        xs = row_sequences(np.array([[[0, 255]]], np.uint8), dtype)
        assert xs.ravel().tolist() == [0, 1]
    assert row_sequences(np.zeros((1, 1, 1), np.uint8)).dtype == np.float32


def test_rows_of_anything_but_grey_images_are_refused():
    images = np.zeros((3, 4, 5), np.uint8)
    with pytest.raises(TypeError, match=r"images must be uint8, .* got float32"):
        row_sequences(images.astype(np.float32))
    with pytest.raises(ValueError, match=r"images must have shape .*got \(4, 5\)"):
        row_sequences(images[0])
    with pytest.raises(TypeError, match="dtype must be a floating-point type"):
        row_sequences(images, np.int32)
