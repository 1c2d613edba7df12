"""MNIST: its IDX files, a sample that comes with the package, and rows as sequences.

The full set is downloaded by `npylstm.data.fetch`, which is imported on its own: the rest needs
nothing of the network.
"""

from npylstm.data.idx import read_idx
from npylstm.data.mnist import MNIST, Digits, load_mnist, row_sequences

__all__ = ["MNIST", "Digits", "load_mnist", "read_idx", "row_sequences"]
