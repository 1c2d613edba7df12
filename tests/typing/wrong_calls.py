"""Calls that mypy must refuse, each marked; `tests/test_types.py` sees to it. Nothing runs them."""

import numpy as np
from numpy.typing import DTypeLike

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
    Stream,
    clip_by_global_norm,
    softmax_cross_entropy,
    truncated_backward,
    unroll,
    unroll_backward,
)
from npylstm.analysis import gradient_check
from npylstm.backend import Array, Rng
from npylstm.cells import AnyState, Cell, Params
from npylstm.sequence import BatchFirst, Layer, LayerState, LayerTape, Lengths, all_states
from npylstm.training import Trainer


class Doubled(Layer):
    """A layer of a user's own, around another."""

    causal = True

    def __init__(self, inside: Layer) -> None:
        self.inside = inside

    @property
    def input_size(self) -> int:
        return self.inside.input_size

    @property
    def output_size(self) -> int:
        return self.inside.output_size

    def init(self, rng: Rng = None, dtype: DTypeLike = np.float64) -> Params:
        return self.inside.init(rng, dtype)

    def zero_state(self, x: Array) -> AnyState:
        return self.inside.zero_state(x)

    def forward(
        self,
        params: Params,
        xs: Array,
        state0: LayerState | None = None,
        lengths: Lengths = None,
        rng: Rng = None,
        keep_tape: bool = True,
    ) -> tuple[Array, AnyState, object]:
        outputs, state, tape = self.inside.forward(params, xs, state0, lengths, rng, keep_tape)
        return 2 * outputs, state, tape

    def backward(
        self,
        params: Params,
        tape: LayerTape,
        doutputs: Array | None = None,
        dstate: LayerState | None = None,
        need_dxs: bool = True,
    ) -> tuple[Array | None, AnyState, Params]:
        doutputs = None if doutputs is None else 2 * doutputs
        return self.inside.backward(params, tape, doutputs, dstate, need_dxs)


x = np.ones((2, 3))
h = np.ones((2, 4))
xs = np.ones((5, 2, 3))
labels = np.zeros(2, np.int64)
lstm, rnn, gru = LSTMCell(3, 4), RNNCell(3, 4), GRUCell(3, 4)
params = lstm.init(0)
model = SequenceModel(lstm, 2)
layer, stack = Recurrent(lstm), Stack([lstm, RNNCell(4, 5)])
both = Bidirectional(LSTMCell(3, 4), GRUCell(3, 4))

# Right: not one of these may be refused.
state, cache = lstm.forward(params, x, LSTMState(h, h))
dx, dstate, grads = lstm.backward(params, cache, LSTMState(h, h))
outputs, last, tape = unroll(lstm, params, xs)
dxs, dstate0, grads = unroll_backward(lstm, params, tape, outputs)
h_last: Array = last.h + last.c + dstate0.h
unroll(lstm, params, xs, last, lengths=[5, 3])
dxs, dstate0, grads = truncated_backward(lstm, params, tape, outputs, 2, 3, last)
outputs, last_of_layer, tape_of_layer = layer.forward(params, xs, LSTMState(h, h))
dxs = layer.backward(params, tape_of_layer, outputs, LSTMState(h, h))[0] * 2
outputs, states, tape_of_layer = stack.forward(stack.init(0), xs, (LSTMState(h, h), RNNState(h)))
c: Array = states[0].c
outputs, states, tape_of_layer = both.forward(both.init(0), xs, (last, GRUState(h)))
both.backward(both.init(0), tape_of_layer, need_dxs=False)
unrolled_on_any: Cell = rnn
outputs, any_state, any_tape = unroll(unrolled_on_any, params, xs)
h_last = any_state.h
own = Stack([Doubled(layer)])
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
unroll(lstm, params, list(xs))  # wrong
unroll(lstm, params, xs, lengths="5")  # wrong
unroll(lstm, params, xs, lengths=[2.5])  # wrong
unroll(lstm, params, xs, state_mask=0.5)  # wrong
unroll(lstm, params, xs, "zeros")  # wrong
unroll(lstm, params, xs, h)  # wrong
unroll(lstm, params, xs, [h, h])  # wrong
unroll(lstm, params, xs, (h, h))  # wrong
unroll(lstm, params, xs, RNNState(h))  # wrong
unroll(lstm, params, xs, {"h": h, "c": h})  # wrong
unroll(lstm, params, xs, tape)  # wrong
caches = unroll(lstm, params, xs, keep_tape=False)[2].caches  # wrong
c = unroll(rnn, params, xs)[1].c  # wrong
unroll_backward(lstm, params, tape, 1.0)  # wrong
unroll_backward(lstm, params, last, outputs)  # wrong
unroll_backward(lstm, params, tape, outputs, tape)  # wrong
unroll_backward(lstm, params, tape, outputs, GRUState(h))  # wrong
truncated_backward(lstm, params, tape, outputs, 2, 3, h)  # wrong
truncated_backward(lstm, params, tape, outputs, "2", 3)  # wrong
layer.forward(params, [[[1.0]]])  # wrong
layer.forward(params, [xs])  # wrong
layer.forward(params, xs, "zeros")  # wrong
layer.forward(params, xs, h)  # wrong
layer.forward(params, xs, tape)  # wrong
layer.forward(params, xs, tape_of_layer)  # wrong
layer.backward(params, tape, "ones")  # wrong
layer.backward(params, tape, outputs, h)  # wrong
layer.backward(params, tape_of_layer, outputs)[0].lower()  # wrong
stack.forward(params, xs, [LSTMState(h, h), RNNState(h)])  # wrong
stack.forward(params, xs, ("h", "c"))  # wrong
stack.forward(params, xs, lengths="all")  # wrong
stack.init(0, dtype=3.5)  # wrong
BatchFirst(params)  # wrong
Stream(lstm, params, state0="zeros")  # wrong
Stream(lstm, params)([1.0, 2.0, 3.0])  # wrong
all_states(lstm, params, xs, h)  # wrong
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
