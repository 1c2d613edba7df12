"""Draw the MNIST sample that comes with the package from the full set.

    python tests/draw_mnist_sample.py FULL_MNIST_FOLDER OUTPUT_FOLDER

The rule: of the n images of a class, in file order, take those at positions floor(j n / m) for
j = 0 .. m-1, and keep all that are taken in file order; m is 1,000 for the training files and 200
for the test files. Chance plays no part, so everybody draws the same sample.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

from npylstm.data import Digits, load_mnist


def draw(digits, per_class):
    positions = []
    for label in range(10):
        of_class = np.flatnonzero(digits.labels == label)
        positions.extend(of_class[np.arange(per_class) * len(of_class) // per_class])
    positions.sort()
    return Digits(digits.images[positions], digits.labels[positions])


def idx_bytes(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def draw_sample(full_folder):
    """Map the name of each file of the sample to its decompressed bytes."""
    full = load_mnist(full_folder, validation_size=0)
    train, test = draw(full.train, 1000), draw(full.test, 200)
    return {
        "train-images-idx3-ubyte.gz": idx_bytes(train.images),
        "train-labels-idx1-ubyte.gz": idx_bytes(train.labels),
        "t10k-images-idx3-ubyte.gz": idx_bytes(test.images),
        "t10k-labels-idx1-ubyte.gz": idx_bytes(test.labels),
    }


if __name__ == "__main__":
    full_folder, output_folder = sys.argv[1:]
    for name, data in draw_sample(full_folder).items():
        with Path(output_folder, name).open("xb") as file:
            file.write(gzip.compress(data, 9, mtime=0))
