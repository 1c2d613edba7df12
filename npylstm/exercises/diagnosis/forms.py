"""The exercises written out gate by gate, so that every slip has a line of its own.

Each line computes one quantity. A comment behind it gives its place in the words of a report, and
the symbol whose equation in the exercise's text to look at. The results have the names of the
blocks, with an underscore instead of brackets. No form changes an array in place.
"""

import re

from npylstm.exercises.tasks import Task

_GATES = """\
i, f, o, g = i, f, o, g  # the gates | i
"""

_CELL = """\
tanh_c = np.tanh(c)  # tanh(c) | h
dc_h = dh * o * dtanh(tanh_c)  # dc, the part of dc that comes through h | h
dc_t = dc + dc_h  # dc, the whole dc | h
do = dh * tanh_c  # do | h
dc_met = dc_t  # dc where the gates' gradients are taken | c
di = dc_met * g  # di | c
df = dc_met * c_prev  # df | c
dg = dc_met * i  # dg | c
dc_prev = dc_t * f  # dc_prev | c
"""

_SLOPES = """\
gate_slope = dsigmoid  # dz_i, dz_f and dz_o, the slopes | i
dz_i = di * gate_slope(i)  # dz_i | i
dz_f = df * gate_slope(f)  # dz_f | i
dz_o = do * gate_slope(o)  # dz_o | i
dz_g = dg * dtanh(g)  # dz_g | g
"""

_PRODUCTS = """\
{order}
lay = side_by_side  # dz, the columns | z
{laid}
W_x_used = W_x  # dx, the weights | z
W_h_used = W_h  # dh_prev, the weights | z
{split_x}
{split_h}
back_x = back  # dx | z
back_h = back  # dh_prev | z
dx = {dx}  # dx | z
dh_prev = {dh_prev}  # dh_prev | z
cut = as_stacked  # dx and dh_prev, the columns of their stack | z
dx, dh_prev = cut(dx, dh_prev, 1)
x_used = x  # dW_x | z
h_used = h_prev  # dW_h | z
pair_w = pair  # dW_x and dW_h | z
pair_x = pair_w  # dW_x | z
pair_h = pair_w  # dW_h | z
{dW_x}
{dW_h}
cut_rows = as_stacked  # dW_x and dW_h, the rows of their stack | z
{cut}
rows_b = rows  # db | z
{db}
"""


def _products(gates: str, equation: str = "z") -> str:
    """Write out the products of all gates with the weights."""

    def line(form: str) -> str:
        return "\n".join(form.format(k=k) for k in gates)

    dz = ", ".join(f"dz_{k}" for k in gates)
    text = _PRODUCTS.format(
        order=f"{dz} = {dz}  # dz, the columns | z",
        laid=f"{dz} = lay([{dz}])",
        split_x=", ".join(f"W_x{k}" for k in gates)
        + f" = columns(W_x_used, {len(gates)})  # dx, the columns of W_x | z",
        split_h=", ".join(f"W_h{k}" for k in gates)
        + f" = columns(W_h_used, {len(gates)})  # dh_prev, the columns of W_h | z",
        dx=" + ".join(f"back_x(dz_{k}, W_x{k})" for k in gates),
        dh_prev=" + ".join(f"back_h(dz_{k}, W_h{k})" for k in gates),
        dW_x=line("dW_x_{k} = pair_x(x_used, dz_{k})  # dW_x[{k}] | z"),
        dW_h=line("dW_h_{k} = pair_h(h_used, dz_{k})  # dW_h[{k}] | z"),
        cut=line("dW_x_{k}, dW_h_{k} = cut_rows(dW_x_{k}, dW_h_{k}, 0)"),
        db=line("db_{k} = rows_b(dz_{k})  # db[{k}] | z"),
    )
    return text.replace("| z\n", f"| {equation}\n")


_LSTM_STEP = _GATES + _CELL + _SLOPES + _products("ifog")

_PEEPHOLE_STEP = (
    _GATES
    + """\
tanh_c = np.tanh(c)  # tanh(c) | h
do = dh * tanh_c  # do | h
gate_slope = dsigmoid  # dz_i, dz_f and dz_o, the slopes | i
dz_o = do * gate_slope(o)  # dz_o | o
dc_h = dh * o * dtanh(tanh_c)  # dc, the part of dc that comes through h | h
dc_o = dz_o * p_o  # dc, the part of dc that comes through the peephole of o | o
dc_t = dc + dc_h + dc_o  # dc, the whole dc | h
dc_met = dc_t  # dc where the gates' gradients are taken | c
di = dc_met * g  # di | c
df = dc_met * c_prev  # df | c
dg = dc_met * i  # dg | c
gate_slope_cell = gate_slope  # dz_i and dz_f, the slopes | i
dz_i = di * gate_slope_cell(i)  # dz_i | i
dz_f = df * gate_slope_cell(f)  # dz_f | i
dz_g = dg * dtanh(g)  # dz_g | g
dc_f = dc_t * f  # dc_prev, the part of dc_prev that comes through c | c
dc_pi = dz_i * p_i  # dc_prev, the part of dc_prev that comes through the peephole of i | i
dc_pf = dz_f * p_f  # dc_prev, the part of dc_prev that comes through the peephole of f | i
dc_prev = dc_f + dc_pi + dc_pf  # dc_prev | i
"""
    + _products("ifog")
    + """\
rows_p = rows  # dp_i, dp_f and dp_o | i
seen = c_prev  # dp_i and dp_f | i
dp_i = rows_p(dz_i * seen)  # dp_i | i
dp_f = rows_p(dz_f * seen)  # dp_f | i
dp_o = rows_p(dz_o * c)  # dp_o | o
"""
)

_GRU_STEP = """\
r, u, n = r, u, n  # the gates | h
W_hr, W_hu, W_hn = columns(W_h, 3)  # the columns of W_h | n
W_xr, W_xu, W_xn = columns(W_x, 3)  # the columns of W_x | n
back_h = back  # dh_prev and dr | n
dkeep = dh * u  # dh_prev, the direct way | h
dn = dh * (1 - u)  # dn | h
du = dh * (h_prev - n)  # du | h
dz_n = dn * dtanh(n)  # dz_n | n
dm = back_h(dz_n, W_hn)  # the gradient at r * h_prev | n
dr = dm * h_prev  # dr | n
gate_slope = dsigmoid  # dz_r and dz_u, the slopes | r
dcand = dm * r  # dh_prev, the way through the candidate | n
m = r * h_prev  # dW_h[n], the state that meets W_hn | n
reset = before_product  # dr, dh_prev and dW_h[n], where r acts | n
dr, dcand, m, dz_m = reset(dr, dcand, m, dz_n, r, h_prev, W_hn)
dz_r = dr * gate_slope(r)  # dz_r | r
dz_u = du * gate_slope(u)  # dz_u | u
dreset = back_h(dz_r, W_hr)  # dh_prev, the way through the reset gate | r
dupdate = back_h(dz_u, W_hu)  # dh_prev, the way through the update gate | u
dh_prev = dkeep + dcand + dreset + dupdate  # dh_prev | h
dz_r, dz_u, dz_n = dz_r, dz_u, dz_n  # dz, the columns | r
lay = side_by_side  # dz, the columns | r
dz_r, dz_u, dz_n = lay([dz_r, dz_u, dz_n])
back_x = back  # dx | r
dx = back_x(dz_r, W_xr) + back_x(dz_u, W_xu) + back_x(dz_n, W_xn)  # dx | r
x_used = x  # dW_x | r
h_used = h_prev  # dW_h | r
pair_w = pair  # dW_x and dW_h | r
pair_x = pair_w  # dW_x | r
pair_h = pair_w  # dW_h | r
dW_x_r = pair_x(x_used, dz_r)  # dW_x[r] | r
dW_x_u = pair_x(x_used, dz_u)  # dW_x[u] | u
dW_x_n = pair_x(x_used, dz_n)  # dW_x[n] | n
dW_h_r = pair_h(h_used, dz_r)  # dW_h[r] | r
dW_h_u = pair_h(h_used, dz_u)  # dW_h[u] | u
dW_h_n = pair_h(m, dz_m)  # dW_h[n] | n
rows_b = rows  # db | r
db_r = rows_b(dz_r)  # db[r] | r
db_u = rows_b(dz_u)  # db[u] | u
db_n = rows_b(dz_n)  # db[n] | n
"""

_RNN_STEP = """\
dz = dh * dtanh(h)  # dz | h
back_x = back  # dx | z
back_h = back  # dh_prev | z
dx = back_x(dz, W_x)  # dx | z
dh_prev = back_h(dz, W_h)  # dh_prev | z
cut = as_stacked  # dx and dh_prev, the columns of their stack | z
dx, dh_prev = cut(dx, dh_prev, 1)
pair_w = pair  # dW_x and dW_h | z
pair_x = pair_w  # dW_x | z
pair_h = pair_w  # dW_h | z
dW_x = pair_x(x, dz)  # dW_x | z
dW_h = pair_h(h_prev, dz)  # dW_h | z
cut_rows = as_stacked  # dW_x and dW_h, the rows of their stack | z
dW_x, dW_h = cut_rows(dW_x, dW_h, 0)
db = rows(dz)  # db | z
"""

_LSTM_FORWARD = """\
x, h_prev, c_prev = x, h_prev, c_prev  # the arguments | z
z_x = x @ W_x  # z, the term of x | z
z_h = h_prev @ W_h  # z, the term of h_prev | z
stack = same_order  # z, the products | z
z_x, z_h = stack(z_x, z_h, x, h_prev, W_x, W_h)
z_b = b  # z, the bias | z
z = z_x + z_h + z_b  # z | z
z_i, z_f, z_o, z_g = columns(z, 4)  # z, the columns | i
squash = sigmoid  # i, f and o | i
i = squash(z_i)  # i | i
f = squash(z_f)  # f | i
o = squash(z_o)  # o | i
g = np.tanh(z_g)  # g | g
kept = f * c_prev  # c, what is kept | c
new = i * g  # c, what is written | c
c = kept + new  # c | c
shown = np.tanh(c)  # h | h
h = o * shown  # h | h
"""

_RNN_FORWARD = """\
x, h_prev = x, h_prev  # the arguments | h
z_x = x @ W_x  # the term of x | h
z_h = h_prev @ W_h  # the term of h_prev | h
stack = same_order  # the products of x and h_prev | h
z_x, z_h = stack(z_x, z_h, x, h_prev, W_x, W_h)
z = z_x + z_h + b  # the sum | h
h = np.tanh(z)  # h | h
"""


def with_arguments(task: Task, form: str) -> str:
    """Put lines before a form in which an argument can be taken for another."""
    arrays = [name for name in task.arguments if name not in ("f", "grads", "batches", "params")]
    one = "".join(f"{name} = {name}  # {name}, wherever it stands | {name}\n" for name in arrays)
    both = ", ".join(arrays)
    return one + f"{both} = {both}  # the arguments | {arrays[0]}\n" * (len(arrays) > 1) + form


def _indent(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


_RNN_SEQUENCE = """\
T = len(xs)
B = len(h0)
order = backwards  # the loop over t | h_t
before_h = before  # h_{t-1} | h_t
arrange = keep  # dxs | h_t
dhs_at = at  # dhs[t] | L
xs_at = at  # x_t in dW_x | h_t
first_dh = none_yet  # dh before the last step | L
dh_next = first_dh(h0, dhs)
dW_x = 0 * W_x
dW_h = 0 * W_h
db = 0 * W_h[0]
dxs_t = {}
dh_own = 0 * h0
dh = 0 * h0
dh_prev = 0 * h0
for t in order(T):
    x = at(xs, t)  # x_t | h_t
    h = at(hs, t)  # h_t in the slope | h_t
    h_prev = before_h(hs, h0, t)  # h_{t-1} in dW_h | h_t
    dh_own = dhs_at(dhs, t)  # dhs[t] | L
    dh = dh_own + dh_next  # dh | h_t
    dz = dh * dtanh(h)  # dz | h_t
    x_used = xs_at(xs, t)  # dW_x, x_t | h_t
    dx = back(dz, W_x)  # dx | h_t
    dh_prev = back(dz, W_h)  # dh_{t-1} | h_t
    cut = as_stacked  # dx and dh_{t-1}, the columns of their stack | h_t
    dx, dh_prev = cut(dx, dh_prev, 1)
    pair_w = pair  # dW_x and dW_h in each step | h_t
    dW_x_t = pair_w(x_used, dz)  # dW_x in each step | h_t
    dW_h_t = pair_w(h_prev, dz)  # dW_h in each step | h_t
    db_t = rows(dz)  # db in each step | h_t
    dW_x = dW_x + dW_x_t  # dW_x over time | h_t
    dW_h = dW_h + dW_h_t  # dW_h over time | h_t
    db = db + db_t  # db over time | h_t
    dxs_t[t] = dx  # dxs[t] | h_t
    dh_next = dh_prev  # dh carried to the step before | h_t
dxs = arrange(np.stack([dxs_t.get(t, 0 * xs[0]) for t in range(T)]))  # dxs | h_t
dh0 = dh_next  # dh0 | h_t
cut_rows = as_stacked  # dW_x and dW_h, the rows of their stack | h_t
dW_x, dW_h = cut_rows(dW_x, dW_h, 0)
"""

_LSTM_SEQUENCE = (
    """\
T = len(xs)
B = len(h0)
order = backwards  # the loop over t | h_t
before_all = before  # h_{t-1} and c_{t-1} | h_t
before_h = before_all  # h_{t-1} | h_t
before_c = before_all  # c_{t-1} | h_t
arrange = keep  # dxs | h_t
dhs_at = at  # dhs[t] | L
gates_at = at  # the gates of step t | h_t
carry_at = at  # f in the dc carried to the step before | h_t
first_dh = none_yet  # dh before the last step | L
dh_next = first_dh(h0, dhs)
dc_next = 0 * c0  # dc before the last step | L
"""
    + "".join(
        f"{name}_{k} = 0 * columns({like}, 4)[0]\n"
        for name, like in (("dW_x", "W_x"), ("dW_h", "W_h"), ("db", "W_h[0]"))
        for k in "ifog"
    )
    + """\
dxs_t = {}
dh_own = 0 * h0
dh = 0 * h0
dc_t = 0 * h0
dh_prev = 0 * h0
dc_prev = 0 * h0
for t in order(T):
    x = at(xs, t)  # x_t | h_t
    c = at(cs, t)  # c_t | h_t
    h = at(hs, t)  # h_t | h_t
    h_prev = before_h(hs, h0, t)  # h_{t-1} in dW_h | h_t
    c_prev = before_c(cs, c0, t)  # c_{t-1} in df | h_t
    i, f, o, g = columns(gates_at(gates, t), 4)  # the gates | h_t
    f_carry = columns(carry_at(gates, t), 4)[1]
    f_next = columns(gates[t + 1], 4)[1] if t + 1 < T else f
    dh_own = dhs_at(dhs, t)  # dhs[t] | L
    dh = dh_own + dh_next  # dh | L
    dc = dc_next  # dc that arrives from step t + 1 | h_t
"""
    + _indent(_CELL.replace("dc_t * f ", "dc_t * f_carry ") + _SLOPES + _products("ifog")).replace(
        " | z\n", " | h_t\n"
    )
)


def _accumulate(text: str) -> str:
    """Turn the gradients of a step into sums over time, and close the loop."""
    for name in ("dW_x", "dW_h", "db"):
        for k in "ifog":
            text = text.replace(f"    {name}_{k} = ", f"    {name}_{k}_t = ")
    text = re.sub(r"(dW_[xh]_[ifog])(?=.*cut_rows|.*, 0\))", r"\1_t", text)
    text += "    add = plus  # dW_x, dW_h and db over time | h_t\n"
    for name in ("dW_x", "dW_h", "db"):
        text += f"    add_{name} = add  # {name} over time | h_t\n"
        for k in "ifog":
            text += (
                f"    {name}_{k} = add_{name}({name}_{k}, {name}_{k}_t)  # {name}[{k}] over time "
                "| h_t\n"
            )
    return (
        text
        + """\
    dxs_t[t] = dx  # dxs[t] | h_t
    dh_next = dh_prev  # dh carried to the step before | h_t
    dc_next = dc_prev  # dc carried to the step before | h_t
dxs = arrange(np.stack([dxs_t.get(t, 0 * xs[0]) for t in range(T)]))  # dxs | h_t
dh0 = dh_next  # dh0 | h_t
dc0 = dc_next  # dc0 | h_t
"""
    )


_RNN_RUN = """\
T = len(xs)
order = forwards  # the loop over t | h_t
stack = same_order  # the products of x_t and h_{t-1} | h_t
bias_at = every_step  # the bias | h_t
arrange = keep  # hs | h_t
hs_t = {}
h_prev = h0  # h0 | h_t
h = h0
for t in order(T):
    x = at(xs, t)  # x_t | h_t
    z_x = x @ W_x  # the term of x_t | h_t
    z_h = h_prev @ W_h  # the term of h_{t-1} | h_t
    z_x, z_h = stack(z_x, z_h, x, h_prev, W_x, W_h)
    b_t = bias_at(b, t, T)
    z = z_x + z_h + b_t  # the sum | h_t
    h = np.tanh(z)  # h_t | h_t
    hs_t[t] = h  # hs[t] | h_t
    h_prev = h  # h carried to the next step | h_t
hs = arrange(np.stack([hs_t.get(t, 0 * h0) for t in range(T)]))  # hs | h_t
"""

_SOFTMAX = """\
B = len(logits)
K = logits.shape[1]
top = largest(logits)  # p, the shift | p
shifted = logits - top  # p, the shift | p
e = np.exp(shifted)  # p | p
total = over_classes(e)  # p, the sum over the classes | p
p = e / total  # p | p
direction = by_rows  # p, the axis | p
shifted, e, total, p = direction(shifted, e, total, p, logits)
chosen = labels  # the label | loss
picked = pick(shifted, chosen)  # loss, the right class | loss
log_total = logarithm(pick(total + 0 * e, chosen))  # loss, the logarithm | loss
row_loss = log_total - picked  # loss of a row | loss
loss = average(row_loss)  # loss | loss
marked = labels  # dlogits, the label | loss
y = one_hot(marked, p)  # dlogits, the right class | loss
d = p - y  # dlogits | loss
dlogits = d / B  # dlogits, the mean | loss
"""

_LOG_SOFTMAX = """\
B = len(logits)
K = logits.shape[1]
top = largest(logits)  # log p, the shift | p
shifted = logits - top  # log p, the shift | p
e = np.exp(shifted)  # log p, the exponentials | p
total = over_classes(e)  # log p, the sum over the classes | p
log_total = logarithm(total)  # log p, the logarithm | p
log_p = shifted - log_total  # log p | p
picked = pick(log_p, labels)  # loss, the right class | loss
row_loss = -picked  # loss of a row | loss
loss = average(row_loss)  # loss | loss
p = np.exp(log_p)  # p | p
y = one_hot(labels, p)  # dlogits, the right class | loss
d = p - y  # dlogits | loss
dlogits = d / B  # dlogits, the mean | loss
"""

_NUMERICAL_GRADIENT = """\
of_x = x
into = as_floats  # the array of the gradient | df
floats = as_floats  # the array of x + h * e_k | df
x = floats(x, of_x)
gradient = np.zeros_like(x)
step_up = h  # x + h * e_k | df
step_down = h  # x - h * e_k | df
move = add_at  # x + h * e_k | df
visit = entries  # the loop over k | df
for k in visit(x):
    up = move(x, k, step_up)  # x + h * e_k | df
    down = move(x, k, -step_down)  # x - h * e_k | df
    above = f(up)  # f(x + h * e_k) | df
    below = f(down)  # f(x - h * e_k) | df
    width = 2 * h  # the denominator | df
    gradient[k] = (above - below) / width  # df/dx_k | df
gradient = into(gradient, of_x)
"""

_RMSPROP = """\
square = grad**2  # ms, the square | ms
share = 1 - decay  # ms, the share of the square | ms
kept = decay * ms  # ms, what is kept | ms
new = share * square  # ms, what is added | ms
mean_square = kept + new  # ms | ms
used = mean_square  # param, the ms that divides | param
step = lr * grad / {denominator}  # param, the step | param
param = param - step  # param | param
ms = mean_square  # ms, what is returned | ms
"""

_CLIP = """\
gWx, gWh, gb = grads["W_x"], grads["W_h"], grads["b"]
size = squares  # norm, the sum of squares | norm
root = np.sqrt  # norm, the root | norm
sx = size(gWx)  # norm, the part of W_x | norm
sh = size(gWh)  # norm, the part of W_h | norm
sb = size(gb)  # norm, the part of b | norm
sum_of_squares = sx + sh + sb  # norm, the sum | norm
length = root(sum_of_squares)  # norm | norm
exceeds = above(length, max_norm)  # grads, the condition | grad
ratio = max_norm / length  # grads, the factor | grad
scale = choose(exceeds, ratio, 1.0)  # grads, the factor | grad
scale_x = scale  # grads[W_x] | grad
scale_h = scale  # grads[W_h] | grad
scale_b = scale  # grads[b] | grad
grads_W_x = gWx * scale_x  # grads[W_x] | grad
grads_W_h = gWh * scale_h  # grads[W_h] | grad
grads_b = gb * scale_b  # grads[b] | grad
norm = length  # norm, what is returned | norm
"""

_JACOBIAN = """\
T, H = hs.shape
hs_used = hs  # h in tanh' | h_t
W_used = W_h  # dh_{s+1}/dh_s, the weights | h_t
measure = two_norm  # norms | dh_{T-1}
first = 1  # the steps of the product, the first factor | dh_{T-1}
end = T  # the steps of the product, the last factor | dh_{T-1}
start = identity(H)  # norms[T-1] | dh_{T-1}
arrange = keep  # norms | dh_{T-1}
found = []
for t in range(T):
    product = start
    for s in range(t + first, end):
        slope = dtanh(hs_used[s])  # dh_{s+1}/dh_s, the slope | h_t
        jacobian = W_used * slope  # dh_{s+1}/dh_s | h_t
        product = join(product, jacobian)  # the product | dh_{T-1}
    norm = measure(product)  # norms[t] | dh_{T-1}
    found.append(norm)
norms = arrange(np.array(found))  # norms | dh_{T-1}
"""

_TRAIN = """\
current = params
gradients_at = newest  # loss_and_grads, the parameters | loss
losses = []
passes = epochs  # the loop over epochs | loss
chosen = keep_batches  # the loop over batches | loss
size = squares  # norm, the sum of squares | norm
root = np.sqrt  # norm, the root | norm
for epoch in range(passes):
    for xs, labels in chosen(batches):
        B = len(labels)
        loss, grads = loss_and_grads(gradients_at(current, params), xs, labels)
        norm = root(sum(map(size, grads.values())))  # norm | norm
        exceeds = above(norm, max_norm)  # grads, the condition | grad
        ratio = max_norm / norm  # grads, the factor | grad
        scale = choose(exceeds, ratio, 1.0)  # grads, the factor | grad
        rate = lr * scale  # params, the step | param
        current = {k: v - rate * grads[k] for k, v in current.items()}  # params | param
        told = 1.0 * loss  # losses | loss
        losses.append(told)
losses = np.array(losses)  # losses | loss
params_W_x, params_W_h, params_b, params_W_y = (current[k] for k in ("W_x", "W_h", "b", "W_y"))
"""

FORMS: dict[str, tuple[str, ...]] = {
    "sigmoid": (
        "s = sigmoid(z)  # s | s\n",
        "e = np.exp(-z)  # s, the exponential | s\nbelow = 1 + e  # s, the denominator | s\n"
        "s = 1 / below  # s | s\n",
        "half = 0.5 * z  # s, the argument of tanh | s\nt = np.tanh(half)  # s | s\n"
        "s = 0.5 * t + 0.5  # s | s\n",
        "size = abs(z)  # s, the exponent | s\ne = np.exp(-size)  # s, the exponential | s\n"
        "right = 1 / (1 + e)  # s for z above 0 | s\nleft = e / (1 + e)  # s for z below 0 | s\n"
        "positive = z >= 0  # s, which branch | s\ns = np.where(positive, right, left)  # s | s\n",
    ),
    "sigmoid_backward": (
        "slope = dsigmoid(s)  # dz, the slope | s\ndz = ds * slope  # dz | s\n",
        "dz = ds * s * (1 - s)  # dz | s\n",
        "dz = ds * (s - s**2)  # dz | s\n",
    ),
    "tanh_backward": (
        "slope = dtanh(t)  # dz, the slope | t\ndz = dt * slope  # dz | t\n",
        "dz = dt * (1 - t**2)  # dz | t\n",
        "dz = dt * (1 - t) * (1 + t)  # dz | t\n",
    ),
    "softmax_cross_entropy": (_SOFTMAX, _LOG_SOFTMAX),
    "rnn_cell_forward": (_RNN_FORWARD,),
    "rnn_cell_backward": (_RNN_STEP,),
    "rnn_forward": (_RNN_RUN,),
    "rnn_backward": (_RNN_SEQUENCE,),
    "lstm_cell_forward": (_LSTM_FORWARD,),
    "lstm_cell_backward": (_LSTM_STEP,),
    "lstm_backward": (_accumulate(_LSTM_SEQUENCE),),
    "peephole_lstm_cell_backward": (_PEEPHOLE_STEP,),
    "gru_cell_backward": (_GRU_STEP,),
    "numerical_gradient": (_NUMERICAL_GRADIENT,),
    "rmsprop_step": (_RMSPROP.format(denominator="(np.sqrt(used) + eps)"),),
    "rmsprop_step_tf1": (_RMSPROP.format(denominator="np.sqrt(used + eps)"),),
    "clip_by_global_norm": (_CLIP,),
    "jacobian_product_norms": (
        _JACOBIAN,
        _JACOBIAN.replace("measure(product)", "measure(product) if t < T - 1 else 1.0"),
    ),
    "train": (_TRAIN,),
}
