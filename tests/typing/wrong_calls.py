"""Calls that mypy must refuse, each marked; `tests/test_types.py` sees to it. Nothing runs them."""

import numpy as np

from npylstm import (
    Adam,
    Bidirectional,
    Dropout,
    GRUCell,
    GRUState,
    LSTMCell,
    LSTMState,
    Recurrent,
    RMSProp,
    RNNCell,
    RNNState,
    SequenceModel,
    Stack,
    clip_by_global_norm,
    softmax_cross_entropy,
    unroll,
    unroll_backward,
)
from npylstm.analysis import gradient_check
from npylstm.training import Trainer

x = np.ones((2, 3))
h = np.ones((2, 4))
xs = np.ones((5, 2, 3))
labels = np.zeros(2, np.int64)
lstm, rnn, gru = LSTMCell(3, 4), RNNCell(3, 4), GRUCell(3, 4)
params = lstm.init(0)
model = SequenceModel(lstm, 2)

# Right: not one of these may be refused.
state, cache = lstm.forward(params, x, LSTMState(h, h))
dx, dstate, grads = lstm.backward(params, cache, LSTMState(h, h))
outputs, last, tape = unroll(lstm, params, xs)
dxs, dstate0, grads = unroll_backward(lstm, params, tape, outputs)
loss, grads = model.loss_and_grads(model.init(0, np.float32), xs, labels)
trainer = Trainer(model, RMSProp(), batch_size=2)

# Wrong
LSTMCell("3", 4)  # wrong
LSTMCell(3)  # wrong
LSTMCell(3, 4, forget_bias="1")  # wrong
LSTMCell(3, 4, kernel_initializer=np.ones(3))  # wrong
RNNCell(3, 4, activation=np.tanh)  # wrong
GRUCell(3, 4, reset_after="yes")  # wrong
lstm.forward(params, [[1.0, 2.0, 3.0]], LSTMState(h, h))  # wrong
lstm.forward(params, x, RNNState(h))  # wrong
lstm.forward(params, x, (h, h))  # wrong
lstm.forward(params, labels, LSTMState(h, h))  # wrong
lstm.forward([params], x, LSTMState(h, h))  # wrong
lstm.forward({"W_x": [1.0]}, x, LSTMState(h, h))  # wrong
lstm.backward(params, cache, h)  # wrong
lstm.backward(params, cache, RNNState(h))  # wrong
rnn.forward(params, x, LSTMState(h, h))  # wrong
gru.forward(params, x, RNNState(h))  # wrong
gru.backward(params, cache, LSTMState(h, h))  # wrong
LSTMState(h)  # wrong
LSTMState(h, [1.0])  # wrong
RNNState("h")  # wrong
GRUState(h=1.0)  # wrong
unroll(params, lstm, xs)  # wrong
unroll(lstm, params, xs.tolist())  # wrong
unroll(lstm, params, xs, lengths="5")  # wrong
unroll(lstm, params, xs, lengths=[2.5])  # wrong
unroll(lstm, params, xs, state_mask=0.5)  # wrong
unroll_backward(lstm, params, tape, 1.0)  # wrong
Stack(LSTMCell(3, 4))  # wrong
Stack([LSTMCell])  # wrong
Bidirectional(lstm)  # wrong
Recurrent(params)  # wrong
Dropout(lstm, input_keep_prob="0.5")  # wrong
SequenceModel(lstm)  # wrong
SequenceModel(lstm, "ten")  # wrong
SequenceModel(lstm, 2, loss=softmax_cross_entropy)  # wrong
model.loss_and_grads(params, xs)  # wrong
model.loss_and_grads(params, xs, [0, 1])  # wrong
model.predict(xs)  # wrong
softmax_cross_entropy(h)  # wrong
softmax_cross_entropy([[1.0]], labels)  # wrong
RMSProp("fast")  # wrong
RMSProp(convention="keras2")  # wrong
Adam(beta1=None)  # wrong
RMSProp().update(params, grads)  # wrong
clip_by_global_norm(grads, "5")  # wrong
clip_by_global_norm(5.0, grads)  # wrong
Trainer(lstm, RMSProp())  # wrong
Trainer(model, "rmsprop")  # wrong
gradient_check(loss, params, grads)  # wrong
