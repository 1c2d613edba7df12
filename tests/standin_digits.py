"""A small data set in the form of MNIST."""

import numpy as np
from draw_mnist_sample import idx_bytes


def write_digits(folder, seed=0, n=33):
    """Write a small data set under the names of MNIST."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name in ("train", "t10k"):
        images, labels = rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(images.astype(np.uint8)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(labels.astype(np.uint8)))
