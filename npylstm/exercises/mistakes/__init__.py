"""The library of named mistakes: wrong versions of every reference solution.

A mistake is an edit of the solution's text, so it is as short as the slip it describes, and any
two that touch different places can be made together. The mistakes are those that people make in
public: course forums, issue trackers and repositories of such exercises.
"""

from npylstm.exercises.mistakes import activations, lstm, rnn, training, variants
from npylstm.exercises.mistakes.mistake import Mistake

MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "sigmoid": activations.SIGMOID,
    "sigmoid_backward": activations.SIGMOID_BACKWARD,
    "tanh_backward": activations.TANH_BACKWARD,
    "softmax_cross_entropy": activations.SOFTMAX_CROSS_ENTROPY,
    "rnn_cell_forward": rnn.CELL_FORWARD,
    "rnn_cell_backward": rnn.CELL_BACKWARD,
    "rnn_forward": rnn.FORWARD,
    "rnn_backward": rnn.BACKWARD,
    "lstm_cell_forward": lstm.CELL_FORWARD,
    "lstm_cell_backward": lstm.CELL_BACKWARD,
    "lstm_backward": lstm.BACKWARD,
    "peephole_lstm_cell_backward": variants.PEEPHOLE_BACKWARD,
    "gru_cell_backward": variants.GRU_BACKWARD,
    "numerical_gradient": training.NUMERICAL_GRADIENT,
    "rmsprop_step": training.RMSPROP,
    "rmsprop_step_tf1": training.RMSPROP_TF1,
    "clip_by_global_norm": training.CLIP,
    "jacobian_product_norms": training.JACOBIAN,
    "train": training.TRAIN,
}

__all__ = ["MISTAKES", "Mistake"]
