"""MNIST: 28 x 28 grey pictures of handwritten digits, and the rows of a picture as a sequence.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proc. IEEE 86 (1998) 2278-2324. TensorFlow 1.15 has
the same split and scaling, in `tensorflow/contrib/learn/python/learn/datasets/mnist.py`.
"""

import os
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npylstm.backend import AnyArray
from npylstm.data.idx import read_idx

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SAMPLE = Path(__file__).parent / "sample"


@dataclass(frozen=True, eq=False)
class Digits:
    """N pictures and what they show.

    Attributes
    ----------
    images : array of uint8 (N, 28, 28)
        From 0 (paper) to 255 (ink), as in the file.
    labels : array of uint8 (N,)
        The digits, 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MNIST:
    """The three parts: to learn from, to choose settings by, to report."""

    train: Digits
    validation: Digits
    test: Digits


def load_mnist(
    folder: str | os.PathLike[str] | None = None, validation_size: int | None = None
) -> MNIST:
    """Read MNIST from a folder, or the sample that comes with the package.

    Parameters
    ----------
    folder : path, optional
        The folder with the four files, under their usual names (`train-images-idx3-ubyte`, also
        written `train-images.idx3-ubyte`), with or without `.gz`. None reads the sample: 10,000
        digits to train on, 2,000 to test.
    validation_size : int, optional
        How many of the training digits, counted from the first, to set aside for validation.
        None means a twelfth of a folder's, but at most the 5,000 of the full set's 60,000, and 0
        for the sample.

    Returns
    -------
    MNIST, for the full set with 55,000 training, 5,000 validation and 10,000 test digits

    Raises
    ------
    FileNotFoundError
        No such folder, or a file is missing from it.
    ValueError
        A file is not sound (see `read_idx`), pictures are not 28 x 28, a label is above 9, images
        and labels differ in number, or `validation_size` leaves no training digit.
    """
    files = _locate(SAMPLE if folder is None else Path(folder))
    train, test = _read(*files[:2]), _read(*files[2:])

    n = len(train.labels)
    if validation_size is None:
        validation_size = 0 if folder is None else min(n // 12, 5000)
    if not isinstance(validation_size, Integral) or not 0 <= validation_size < n:
        raise ValueError(
            f"validation_size must be an integer from 0 to {n - 1}, got {validation_size!r}"
        )
    return MNIST(
        train=Digits(train.images[validation_size:], train.labels[validation_size:]),
        validation=Digits(train.images[:validation_size], train.labels[:validation_size]),
        test=test,
    )


def _locate(folder: Path) -> list[Path]:
    """Return the paths of the four files, in the order of `FILES`."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    paths = {
        name: path  # of several spellings that exist, the last one stays
        for name in FILES
        for ending in (".gz", "")
        for spelling in (name.replace("-idx", ".idx"), name)
        if (path := folder / (spelling + ending)).is_file()
    }
    if missing := [name for name in FILES if name not in paths]:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)} (as such or with .gz)")
    return list(paths.values())


def _read(images_path: Path, labels_path: Path) -> Digits:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path}: expected images (N, 28, 28), got shape {images.shape}")
    if labels.ndim != 1:
        raise ValueError(f"{labels_path}: expected labels (N,), got shape {labels.shape}")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels"
        )
    if labels.max() > 9:
        worst = labels.argmax()
        raise ValueError(f"{labels_path}: labels must be 0 to 9, got {labels[worst]} at {worst}")
    return Digits(images, labels)


def row_sequences(images: NDArray[np.uint8], dtype: DTypeLike = np.float32) -> AnyArray:
    """Turn pictures into sequences: time step t sees row t of each.

    Parameters
    ----------
    images : array of uint8 (N, rows, columns)
        As in `Digits`.
    dtype : NumPy dtype
        A floating-point type.

    Returns
    -------
    (T = rows, N, D = columns) of `dtype`, scaled from 0..255 to 0..1

    Raises
    ------
    TypeError
        `images` are not uint8 (scaled already?), or `dtype` is not a floating-point type.
    ValueError
        `images` do not have three axes.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8, from 0 to 255, got {images.dtype}")
    if images.ndim != 3:
        raise ValueError(f"images must have shape (N, rows, columns), got {images.shape}")
    if not np.issubdtype(dtype, np.floating):
        raise TypeError(f"dtype must be a floating-point type, got {dtype!r}")
    # Each picture stays contiguous in memory, so that a shuffled batch is gathered quickly.
    return np.multiply(images.transpose(1, 0, 2), 1 / 255, dtype=dtype)
