"""Weights, gradients, states and layers from and to other frameworks, as plain arrays.

Only names and layouts change, so no framework is needed or imported. All frameworks compute the
same equations; they differ in the names and the order of the gates and in the layout of matrices:

============  =============  =============  ====================================================
framework     LSTM           GRU            matrices
============  =============  =============  ====================================================
npylstm       i, f, o, g     r, u, n        `W_x` (D, 4H) and `W_h` (H, 4H)
TensorFlow 1  i, j, f, o     r, u | c       in one kernel (D + H, 4H); a GRU's c has its own
Keras         i, f, c, o     z, r, h        (D, 4H) and (H, 4H)
PyTorch       i, f, g, o     r, z, n        transposed: (4H, D) and (4H, H)
ONNX          i, o, f, c     z, r, h        transposed, the directions of a layer stacked
============  =============  =============  ====================================================

The candidate g of an LSTM is also called j and c, the candidate n of a GRU c and h, and its update
gate u also z. In all of them an update gate of 1 keeps the old state.

`layer` is a cell or any layer made of cells. The wrappers `Dropout` and `Residual` own no
parameters and are skipped. A cell with options that a framework lacks is refused.
"""

from npylstm.interop.blocks import (
    LAYOUTS,
    Layout,
    find_layout,
    from_blocks,
    gradients_from_blocks,
    gradients_to_blocks,
    to_blocks,
)
from npylstm.interop.core import Arrays
from npylstm.interop.keras import (
    from_keras,
    gradients_from_keras,
    gradients_to_keras,
    layer_from_keras,
    model_from_keras,
    state_from_keras,
    state_to_keras,
    to_keras,
)
from npylstm.interop.onnx import (
    attributes_to_onnx,
    from_onnx,
    gradients_from_onnx,
    gradients_to_onnx,
    layer_from_onnx,
    run_onnx,
    state_from_onnx,
    state_to_onnx,
    to_onnx,
)
from npylstm.interop.safetensors import load_safetensors, save_safetensors
from npylstm.interop.tensorflow1 import (
    from_tf1,
    gradients_from_tf1,
    gradients_to_tf1,
    state_from_tf1,
    state_to_tf1,
    to_tf1,
)
from npylstm.interop.torch import (
    from_torch,
    gradients_from_torch,
    gradients_to_torch,
    layer_from_torch,
    model_from_torch,
    state_from_torch,
    state_to_torch,
    to_torch,
)

__all__ = [
    "LAYOUTS",
    "Arrays",
    "Layout",
    "attributes_to_onnx",
    "find_layout",
    "from_blocks",
    "from_keras",
    "from_onnx",
    "from_tf1",
    "from_torch",
    "gradients_from_blocks",
    "gradients_from_keras",
    "gradients_from_onnx",
    "gradients_from_tf1",
    "gradients_from_torch",
    "gradients_to_blocks",
    "gradients_to_keras",
    "gradients_to_onnx",
    "gradients_to_tf1",
    "gradients_to_torch",
    "layer_from_keras",
    "layer_from_onnx",
    "layer_from_torch",
    "load_safetensors",
    "model_from_keras",
    "model_from_torch",
    "run_onnx",
    "save_safetensors",
    "state_from_keras",
    "state_from_onnx",
    "state_from_tf1",
    "state_from_torch",
    "state_to_keras",
    "state_to_onnx",
    "state_to_tf1",
    "state_to_torch",
    "to_blocks",
    "to_keras",
    "to_onnx",
    "to_tf1",
    "to_torch",
]
