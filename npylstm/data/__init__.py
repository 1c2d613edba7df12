"""MNIST, text and synthetic tasks.

`npylstm.data.fetch` downloads the full MNIST set. It is imported separately, because the rest needs
no network.
"""

from npylstm.data.idx import read_idx
from npylstm.data.mnist import MNIST, Digits, load_mnist, row_sequences
from npylstm.data.tasks import (
    REBER_SYMBOLS,
    Batch,
    EmbeddedReber,
    Strings,
    adding,
    adding_1997,
    copy,
    embedded_reber,
    long_lag,
    temporal_order,
    temporal_order_1997,
    two_sequence,
)
from npylstm.data.text import Vocabulary, load_text, windows

__all__ = [
    "MNIST",
    "REBER_SYMBOLS",
    "Batch",
    "Digits",
    "EmbeddedReber",
    "Strings",
    "Vocabulary",
    "adding",
    "adding_1997",
    "copy",
    "embedded_reber",
    "load_mnist",
    "load_text",
    "long_lag",
    "read_idx",
    "row_sequences",
    "temporal_order",
    "temporal_order_1997",
    "two_sequence",
    "windows",
]
