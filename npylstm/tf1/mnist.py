"""MNIST as TensorFlow 1's tutorials read it."""

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import AnyArray
from npylstm.checks import check_size
from npylstm.data import Digits, load_mnist


class DataSet:
    """Pictures and labels that come in batches; `read_data_sets` makes them.

    It keeps its place between two calls of `next_batch`, so it is the one thing here that changes.

    Parameters
    ----------
    images : array (N, ...)
    labels : array (N, ...)
    seed : int, optional
        Of its own random numbers: NumPy's legacy generator, so that a seed gives TensorFlow's
        order.

    Attributes
    ----------
    images, labels : array
        In the order of the present epoch.
    num_examples : int
        N.
    epochs_completed : int
        How often `next_batch` has begun anew.
    """

    def __init__(self, images: AnyArray, labels: AnyArray, seed: int | None = None) -> None:
        self.images = images
        self.labels = labels
        self.num_examples = len(images)
        self.epochs_completed = 0
        self._position = 0
        self._random = np.random.RandomState(seed)

    def next_batch(self, batch_size: int, *, shuffle: bool = True) -> tuple[AnyArray, AnyArray]:
        """Return the next pictures and labels, always `batch_size` of them.

        A batch that reaches beyond the end of an epoch is filled up from the next one.

        Parameters
        ----------
        batch_size : int
            From 1 to `num_examples`.
        shuffle : bool
            Whether to change the order before the first epoch and at the start of each other one.

        Raises
        ------
        ValueError
            A batch size outside that range.
        """
        check_size("batch_size", batch_size)
        if batch_size > self.num_examples:
            raise ValueError(
                f"batch_size must be at most {self.num_examples}, the size of the set, "
                f"got {batch_size}"
            )
        start, stop = self._position, self._position + batch_size
        if shuffle and start == 0 and self.epochs_completed == 0:
            self._shuffle()
        images, labels = self.images[start:stop], self.labels[start:stop]
        if stop > self.num_examples:
            self.epochs_completed += 1
            if shuffle:
                self._shuffle()
            stop -= self.num_examples
            images = np.concatenate([images, self.images[:stop]])
            labels = np.concatenate([labels, self.labels[:stop]])
        self._position = stop
        return images, labels

    def _shuffle(self) -> None:
        order = np.arange(self.num_examples)
        self._random.shuffle(order)
        self.images, self.labels = self.images[order], self.labels[order]


class Datasets(NamedTuple):
    """The three parts of MNIST, in TensorFlow's order."""

    train: DataSet
    validation: DataSet
    test: DataSet


def read_data_sets(
    train_dir: str | os.PathLike[str] | None,
    *,
    one_hot: bool = False,
    dtype: DTypeLike = np.float32,
    reshape: bool = True,
    validation_size: int = 5000,
    seed: int | None = None,
) -> Datasets:
    """Read MNIST as `tensorflow.examples.tutorials.mnist.input_data.read_data_sets` does.

    Nothing is downloaded: `npylstm.data.fetch` does that.

    Parameters
    ----------
    train_dir
        The folder with the four files; None for the sample that comes with the package.
    one_hot : bool
        Labels as rows (N, 10) of float64 in place of digits (N,) of uint8.
    dtype
        float32 for pixels from 0 to 1, or uint8 for 0 to 255.
    reshape : bool
        Pictures as rows (N, 784) in place of (N, 28, 28, 1).
    validation_size : int
        How many training digits, counted from the first, to set aside.
    seed : int, optional
        Of each set's order.

    Raises
    ------
    OSError, ValueError
        As in `npylstm.data.load_mnist`.
    TypeError
        Another dtype.
    """
    if np.dtype(dtype) not in (np.uint8, np.float32):
        raise TypeError(f"dtype must be uint8 or float32, got {dtype!r}")

    def data_set(digits: Digits) -> DataSet:
        shape = (784,) if reshape else (28, 28, 1)
        images: AnyArray = digits.images.reshape(-1, *shape)
        if np.dtype(dtype) == np.float32:
            images = images.astype(np.float32) * np.float32(1 / 255)
        labels = digits.labels
        return DataSet(images, np.eye(10)[labels] if one_hot else labels, seed)

    mnist = load_mnist(train_dir, validation_size)
    return Datasets(*(data_set(part) for part in (mnist.train, mnist.validation, mnist.test)))
