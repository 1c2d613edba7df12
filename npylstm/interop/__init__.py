"""Weights from and to other frameworks."""

from npylstm.interop.convert import (
    Arrays,
    from_keras,
    from_onnx,
    from_tf1,
    from_torch,
    gradients_to_tf1,
    to_keras,
    to_onnx,
    to_tf1,
    to_torch,
)

__all__ = [
    "Arrays",
    "from_keras",
    "from_onnx",
    "from_tf1",
    "from_torch",
    "gradients_to_tf1",
    "to_keras",
    "to_onnx",
    "to_tf1",
    "to_torch",
]
