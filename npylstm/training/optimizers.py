"""Gradient descent and its relatives, and gradient clipping.

An optimiser is a frozen set of hyper-parameters. What it remembers between steps, its slots, goes
in and out by hand, so a step is a pure function::

    optimizer = RMSProp(learning_rate=0.001)
    state = optimizer.init(params)
    params, state = optimizer.update(params, grads, state)

Each update is element by element, so parameters with a leading axis train independent networks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from npylstm.backend import Array, array_module
from npylstm.checks import check_array, check_choice, check_flag, check_number

Slots: TypeAlias = dict[str, Array]
"""What an optimiser remembers about one parameter, by the name of the slot."""

OptimizerState: TypeAlias = dict[str, Slots]
"""The slots of every parameter, by the name of the parameter."""


Schedule: TypeAlias = Callable[[int], float]
"""The learning rate as a function of the step: 0 at the first update, then 1, 2 and so on."""


class Optimizer(ABC):
    """The part all optimisers share: a subclass says how one array moves, the rest is here.

    The learning rate is a number, or a plain function of the step. Then the state counts the steps
    in a slot `"step"` of every parameter::

        warm_up = lambda step: 0.001 * min(1.0, (step + 1) / 100)
        optimizer = RMSProp(learning_rate=warm_up)
    """

    learning_rate: float | Schedule

    def init(self, params: Mapping[str, Array]) -> OptimizerState:
        """Return the state before the first step.

        Parameters
        ----------
        params : dict of array
            The parameters to train.

        Raises
        ------
        TypeError
            A parameter that does not hold floating-point numbers, or holds float16: an epsilon of
            1e-8 is zero there, and squares of small gradients are, too.
        """
        for name, w in params.items():
            check_array(name, w, ())
            if w.dtype == np.float16:
                raise TypeError(
                    f"{name} must be float32 or float64, got float16, in which the squares of "
                    "small gradients are 0; convert it, with .astype(np.float32)"
                )
        count: Slots = {"step": np.array(0)} if callable(self.learning_rate) else {}
        return {name: self._first_slots(w) | count for name, w in params.items()}

    def update(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState
    ) -> tuple[dict[str, Array], OptimizerState]:
        """Take one step against the gradient.

        Parameters
        ----------
        params, grads : dict of array
            Parameters and the loss's gradients with respect to them: the same keys, shapes and
            dtypes.
        state : dict of dict of array
            What `init` or the last `update` returned.

        Returns
        -------
        params, state
            New dicts with new arrays; the arguments stay as they are.

        Raises
        ------
        ValueError
            `grads` or `state` does not belong to `params`, or `state` to this optimiser, or a
            schedule returns something other than a number of at least 0.
        """
        _check_alike(params, grads, state)
        try:
            rules = {name: self._at(state[name]) for name in params}
            moved = {
                name: rule._step(params[name], grads[name], state[name])
                for name, rule in rules.items()
            }
            if callable(self.learning_rate):
                for name, (_, slots) in moved.items():
                    slots["step"] = np.array(int(state[name]["step"]) + 1)
        except KeyError as error:
            raise ValueError(f"state has no slot {error}: it is not from {self}.init") from error
        return (
            {name: w for name, (w, _) in moved.items()},
            {name: slots for name, (_, slots) in moved.items()},
        )

    @abstractmethod
    def _first_slots(self, w: Array) -> Slots:
        """Return the slots of parameter `w` before the first step."""

    @abstractmethod
    def _step(self, w: Array, g: Array, slots: Slots) -> tuple[Array, Slots]:
        """Return parameter `w` moved against its gradient `g`, and its new slots."""

    def _at(self, slots: Slots) -> "Optimizer":
        """Return the same optimiser with the learning rate that its schedule has for this step."""
        if not callable(self.learning_rate):
            return self
        step = int(slots["step"])
        rate = self.learning_rate(step)
        check_number(f"learning_rate({step})", rate, low=0)
        now = copy(self)
        object.__setattr__(now, "learning_rate", float(rate))
        return now

    @property
    def _rate(self) -> float:
        """The learning rate of this step."""
        assert not callable(self.learning_rate)  # `update` has made it a number
        return self.learning_rate

    def _check_settings(
        self,
        positive: tuple[str, ...],
        fractions: tuple[str, ...],
        at_least_0: tuple[str, ...] = (),
    ) -> None:
        for name in positive + fractions + at_least_0:
            value = getattr(self, name)
            if name == "learning_rate" and callable(value):
                continue
            if name in fractions:
                check_number(name, value, low=0, high=1, open_high=True)
            else:
                check_number(name, value, low=0, open_low=name in positive)
            # A NumPy float64 would turn float32 parameters into float64; a Python float does not.
            object.__setattr__(self, name, float(value))


def _check_alike(
    params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState
) -> None:
    for argument, found in (("grads", grads.keys()), ("state", state.keys())):
        if found != params.keys():
            raise ValueError(
                f"{argument} must have the keys of params, {sorted(params)}, got {sorted(found)}"
            )
    for name, w in params.items():
        g = grads[name]
        if g.shape != w.shape or g.dtype != w.dtype:
            raise ValueError(
                f"grads[{name!r}] must be like params[{name!r}], {w.dtype} of shape {w.shape}, "
                f"got {g.dtype} of shape {g.shape}"
            )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent with momentum, plain or Nesterov's (Sutskever et al. 2013).

    ::

        v = momentum v + g                             from 0
        w = w - learning_rate v                        plain
        w = w - learning_rate (g + momentum v)         nesterov=True

    This is TensorFlow 1.15's MomentumOptimizer and PyTorch 2's SGD: the learning rate stays
    outside v.

    Parameters
    ----------
    learning_rate : float or callable
        Above 0, or a function of the step that returns a number of at least 0.
    momentum : float
        In [0, 1); without momentum there is no v.
    nesterov : bool
        Look one step of momentum ahead; needs momentum.
    weight_decay : float
        At least 0: g + weight_decay w takes the place of g, as in PyTorch 2.

    Raises
    ------
    ValueError
        A hyper-parameter out of its range.

    Examples
    --------
    >>> SGD(learning_rate=0.01, momentum=0.9)
    SGD(learning_rate=0.01, momentum=0.9, nesterov=False, weight_decay=0.0)
    """

    learning_rate: float | Schedule
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_settings(("learning_rate",), ("momentum",), ("weight_decay",))
        check_flag("nesterov", self.nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs a momentum above 0, got momentum=0.0")

    def _first_slots(self, w: Array) -> Slots:
        return {"v": array_module(w).zeros_like(w)} if self.momentum else {}

    def _step(self, w: Array, g: Array, slots: Slots) -> tuple[Array, Slots]:
        if self.weight_decay:
            g = g + self.weight_decay * w
        if not self.momentum:
            return w - self._rate * g, {}
        v = self.momentum * slots["v"] + g
        ahead = g + self.momentum * v if self.nesterov else v
        return w - self._rate * ahead, {"v": v}


EPSILONS = {"tf1": 1e-10, "torch": 1e-8, "keras": 1e-7}
"""The conventions of RMSProp, with the epsilon that each library has by default."""


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Divide the gradient by a running average of its size (Tieleman & Hinton 2012, lecture 6e).

    The convention decides where ms starts, where epsilon stands and what the momentum buffer
    holds. `"tf1"` is TensorFlow 1.15's RMSPropOptimizer (ApplyRMSProp in training_ops)::

        ms  = ms + (1 - decay) (g² - ms)                                     from 1
        mom = momentum mom + learning_rate g / sqrt(ms + epsilon)            from 0
        w   = w - mom

    and `"torch"` is PyTorch 2's RMSprop::

        ms  = ms + (1 - decay) (g² - ms)                                     from 0
        mom = momentum mom + g / (sqrt(ms) + epsilon)                        from 0
        w   = w - learning_rate mom

    `"keras"` is Keras 3's RMSprop, which is TensorFlow's formula with ms from 0.

    A mean square that starts at 1 keeps the first steps small. A mean square that starts at 0 makes
    the first step learning_rate / sqrt(1 - decay) for every weight, even with a small gradient.

    If centred, both replace ms under the root with the variance ms - mg², with
    mg = mg + (1 - decay) (g - mg), from 0 (Graves 2013, eqs. 38-41).

    Parameters
    ----------
    learning_rate : float or callable
        Above 0, or a function of the step that returns a number of at least 0.
    decay : float
        Of the running averages, in [0, 1). The default is TensorFlow's; PyTorch's is 0.99.
    momentum : float
        In [0, 1); without momentum no buffer is kept.
    epsilon : float, optional
        Above 0; by default 1e-10 for `"tf1"`, 1e-8 for `"torch"` and 1e-7 for `"keras"`, as in
        those libraries.
    centered : bool
        Divide by the gradient's standard deviation instead of its root mean square.
    convention : str
        `"tf1"`, `"torch"` or `"keras"`.
    weight_decay : float
        At least 0. As in PyTorch 2, g + weight_decay w takes the place of g; as in Keras 3, with
        its convention, w first becomes w - learning_rate weight_decay w.

    Raises
    ------
    ValueError
        A hyper-parameter out of its range, or an unknown convention.

    Notes
    -----
    TensorFlow rounds its hyper-parameters to float32, even for float64 weights. To follow it to the
    last digit, round them first: `RMSProp(np.float32(0.001), np.float32(0.9))`.

    Examples
    --------
    >>> RMSProp(learning_rate=0.01, decay=0.99, convention="torch").epsilon
    1e-08
    """

    learning_rate: float | Schedule = 0.001
    decay: float = 0.9
    momentum: float = 0.0
    epsilon: float | None = None
    centered: bool = False
    convention: Literal["tf1", "torch", "keras"] = "tf1"
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_choice("convention", self.convention, EPSILONS)
        check_flag("centered", self.centered)
        if self.epsilon is None:
            object.__setattr__(self, "epsilon", EPSILONS[self.convention])
        self._check_settings(("learning_rate", "epsilon"), ("decay", "momentum"), ("weight_decay",))

    def _first_slots(self, w: Array) -> Slots:
        xp = array_module(w)
        slots: Slots = {"ms": xp.ones_like(w) if self.convention == "tf1" else xp.zeros_like(w)}
        if self.centered:
            slots["mg"] = xp.zeros_like(w)
        if self.momentum:
            slots["mom"] = xp.zeros_like(w)
        return slots

    def _step(self, w: Array, g: Array, slots: Slots) -> tuple[Array, Slots]:
        assert self.epsilon is not None  # __post_init__ has set it
        xp = array_module(w)
        if self.weight_decay and self.convention == "keras":
            w = w - self._rate * self.weight_decay * w
        elif self.weight_decay:
            g = g + self.weight_decay * w
        ms: Array
        ms = slots["ms"] + (1 - self.decay) * (g * g - slots["ms"])
        after: Slots = {"ms": ms}
        if self.centered:
            mg = after["mg"] = slots["mg"] + (1 - self.decay) * (g - slots["mg"])
            ms = xp.maximum(ms - mg * mg, 0)  # a variance, which rounding can take below zero
        torch = self.convention == "torch"
        step = xp.sqrt(ms) + self.epsilon if torch else xp.sqrt(ms + self.epsilon)
        step = (g if torch else self._rate * g) / step  # this frees the root
        if self.momentum:
            step = after["mom"] = self.momentum * slots["mom"] + step
        return w - (self._rate * step if torch else step), after


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, Algorithm 1).

    ::

        m = m + (1 - beta1) (g - m)                 from 0
        v = v + (1 - beta2) (g² - v)                from 0
        m_hat = m / (1 - beta1ᵗ)                    t = 1 at the first step
        v_hat = v / (1 - beta2ᵗ)
        w = w - learning_rate m_hat / (sqrt(v_hat) + epsilon)

    epsilon is added to sqrt(v_hat), as in the paper's algorithm and in PyTorch 2. TensorFlow 1.15
    adds it to sqrt(v) (the paper's section 2, end), which amounts to an epsilon larger by the
    factor 1 / sqrt(1 - beta2ᵗ).

    Parameters
    ----------
    learning_rate : float or callable
        Above 0, or a function of the step that returns a number of at least 0.
    beta1, beta2 : float
        Decay of the running averages of the gradient and of its square, each in [0, 1).
    epsilon : float
        Above 0.

    Raises
    ------
    ValueError
        A hyper-parameter out of its range.
    """

    learning_rate: float | Schedule = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        self._check_settings(positive=("learning_rate", "epsilon"), fractions=("beta1", "beta2"))

    def _first_slots(self, w: Array) -> Slots:
        xp = array_module(w)
        return {"m": xp.zeros_like(w), "v": xp.zeros_like(w), "t": np.array(0)}

    def _step(self, w: Array, g: Array, slots: Slots) -> tuple[Array, Slots]:
        t = int(slots["t"]) + 1
        m = slots["m"] + (1 - self.beta1) * (g - slots["m"])
        v = slots["v"] + (1 - self.beta2) * (g * g - slots["v"])
        m_hat = m / (1 - self.beta1**t)
        v_hat = v / (1 - self.beta2**t)
        w = w - self._rate * m_hat / (array_module(w).sqrt(v_hat) + self.epsilon)
        return w, {"m": m, "v": v, "t": np.array(t)}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019, Algorithm 2).

    ::

        w = w - learning_rate weight_decay w           then as in Adam

    This is PyTorch 2's AdamW.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon
        As in `Adam`.
    weight_decay : float
        At least 0.

    Raises
    ------
    ValueError
        A hyper-parameter out of its range.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_settings((), (), ("weight_decay",))

    def _step(self, w: Array, g: Array, slots: Slots) -> tuple[Array, Slots]:
        return super()._step(w - self._rate * self.weight_decay * w, g, slots)


def clip_by_global_norm(
    grads: Mapping[str, Array], max_norm: float, leading_axes: int = 0
) -> tuple[dict[str, Array], Array]:
    """Shrink all gradients together where their common norm exceeds `max_norm`.

    g = g · max_norm / max(‖g‖, max_norm), with ‖g‖² the sum of squares over every entry of every
    array, so the direction stays (Pascanu, Mikolov & Bengio 2013, Algorithm 1).

    Parameters
    ----------
    grads : dict of array
        The gradients.
    max_norm : float
        The largest norm allowed, > 0.
    leading_axes : int
        How many axes in front number independent networks, each clipped by its own norm: 1 for
        arrays of shape (S, ...).

    Returns
    -------
    grads : dict of array
        The clipped gradients; those within `max_norm` keep every bit.
    norm : array () or (S,) of float64
        ‖g‖ before clipping. A NaN or an infinity in a network's gradients makes this norm and all
        gradients of that network NaN, like TensorFlow's tf.clip_by_global_norm: a step that has
        gone wrong shows.

    Raises
    ------
    ValueError
        `max_norm` is not a positive number, `grads` holds no array, or `leading_axes` does not fit
        the arrays.
    """
    check_number("max_norm", max_norm, low=0.0, open_low=True)
    if not grads:
        raise ValueError("grads must hold one array at least, got {}")
    fewest = min(g.ndim for g in grads.values())
    if not 0 <= leading_axes <= fewest:
        raise ValueError(f"leading_axes must be between 0 and {fewest}, got {leading_axes}")
    first = next(iter(grads.values()))
    xp, networks = array_module(first), first.shape[:leading_axes]
    flat = xp.concatenate([g.reshape(*networks, -1) for g in grads.values()], axis=-1)
    flat = flat.astype(np.float64)
    # Divided by the largest entry no square can overflow: exploded gradients are what this is for.
    peak = xp.maximum(abs(flat).max(axis=-1), np.finfo(np.float64).tiny)
    with np.errstate(invalid="ignore"):  # inf / inf
        norm = peak * xp.sqrt(((flat / peak[..., None]) ** 2).sum(axis=-1))
    scale = max_norm / xp.maximum(norm, max_norm)
    clipped: dict[str, Array] = {
        name: g * scale.astype(g.dtype).reshape(networks + (1,) * (g.ndim - leading_axes))
        for name, g in grads.items()
    }
    return clipped, norm


def clip_by_value(grads: Mapping[str, Array], limit: float) -> dict[str, Array]:
    """Clip every entry of every gradient to [-limit, limit]; NaN stays.

    Raises
    ------
    ValueError
        `limit` is not a positive number.
    """
    check_number("limit", limit, low=0.0, open_low=True)
    return {name: g.clip(-float(limit), float(limit)) for name, g in grads.items()}
