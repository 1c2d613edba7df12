"""Mistakes in the LSTM with peepholes and in the GRU."""

from npylstm.exercises.mistakes.lstm import cell_backward
from npylstm.exercises.mistakes.mistake import Mistake

# A table, three lines for each mistake: what and where, the edit, where to look.
# fmt: off
INPUT_FORGET = "i, f = sigmoid(z_i + p_i * c_prev), sigmoid(z_f + p_f * c_prev)"
OUTPUT = "o = sigmoid(z_o + p_o * c)"

PEEPHOLE_BACKWARD = (
    *cell_backward(INPUT_FORGET, OUTPUT),
    Mistake("peephole of the output gate missing in dc", "dc",
            {" + dz_o * p_o": ""},
            OUTPUT, "c acts on h directly and through one gate: which?"),
    Mistake("peephole of the output gate led to c_prev", "dc and dc_prev",
            {" + dz_o * p_o": "", "dz_f * p_f": "dz_f * p_f + dz_o * p_o"},
            OUTPUT, "which cell state does the output gate see?"),
    Mistake("peephole of the input gate missing in dc_prev", "dc_prev",
            {" + dz_i * p_i": ""},
            INPUT_FORGET, "on how many ways does c_prev act?"),
    Mistake("peephole of the forget gate missing in dc_prev", "dc_prev",
            {" + dz_f * p_f": ""},
            INPUT_FORGET, "on how many ways does c_prev act?"),
    Mistake("peepholes of the input and forget gates missing in dc_prev", "dc_prev",
            {" + dz_i * p_i + dz_f * p_f": ""},
            INPUT_FORGET, "on how many ways does c_prev act?"),
    Mistake("all peepholes missing on the way back to c", "dc and dc_prev",
            {" + dz_o * p_o": "", " + dz_i * p_i + dz_f * p_f": ""},
            INPUT_FORGET, "on how many ways does each cell state act?"),
    Mistake("peepholes of the input and forget gates led to c", "dc and dc_prev",
            {"dc_prev = dc * f + dz_i * p_i + dz_f * p_f":
             "dc_prev = (dc + dz_i * p_i + dz_f * p_f) * f"},
            INPUT_FORGET, "which cell state do these gates see, and is it multiplied by the "
            "forget gate on the way?"),
    Mistake("peepholes of i and f exchanged in dc_prev", "dc_prev",
            {"dz_i * p_i + dz_f * p_f": "dz_i * p_f + dz_f * p_i"},
            INPUT_FORGET, "which weight belongs to which gate?"),
    Mistake("gate gradients before their slopes in dc_prev", "dc_prev",
            {"dz_i * p_i + dz_f * p_f": "di * p_i + df * p_f"},
            INPUT_FORGET, "does the peephole lie inside the sigmoid or outside?"),
    Mistake("do in place of dz_o in dc", "dc",
            {"dz_o * p_o": "do * p_o"},
            OUTPUT, "does the peephole lie inside the sigmoid or outside?"),
    Mistake("c in place of c_prev in dp_i and dp_f", "dp_i and dp_f",
            {"(dz_i * c_prev)": "(dz_i * c)", "(dz_f * c_prev)": "(dz_f * c)"},
            INPUT_FORGET, "which cell state do these gates see?"),
    Mistake("c in place of c_prev in dp_i", "dp_i",
            {"(dz_i * c_prev)": "(dz_i * c)"},
            INPUT_FORGET, "which cell state does the input gate see?"),
    Mistake("c in place of c_prev in dp_f", "dp_f",
            {"(dz_f * c_prev)": "(dz_f * c)"},
            INPUT_FORGET, "which cell state does the forget gate see?"),
    Mistake("c_prev in place of c in dp_o", "dp_o",
            {"(dz_o * c)": "(dz_o * c_prev)"},
            OUTPUT, "which cell state does the output gate see?"),
    Mistake("tanh(c) in place of c in dp_o", "dp_o",
            {"(dz_o * c)": "(dz_o * tanh_c)"},
            OUTPUT, "which factor stands beside p_o?"),
    Mistake("gate gradients before their slopes in dp_i, dp_f and dp_o", "dp_i, dp_f and dp_o",
            {"(dz_i * c_prev)": "(di * c_prev)", "(dz_f * c_prev)": "(df * c_prev)", "(dz_o * c)":
             "(do * c)"},
            INPUT_FORGET, "does the peephole lie inside the sigmoid or outside?"),
    Mistake("peephole gradients averaged over the batch", "dp_i, dp_f and dp_o",
            {"(dz_i * c_prev).sum": "(dz_i * c_prev).mean", "(dz_f * c_prev).sum":
             "(dz_f * c_prev).mean", "(dz_o * c).sum": "(dz_o * c).mean"},
            INPUT_FORGET, "the same peepholes serve every row: how do their gradients join?"),
    Mistake("peephole gradients not summed over the batch", "dp_i, dp_f and dp_o",
            {"(dz_i * c_prev).sum(axis=0)": "dz_i * c_prev", "(dz_f * c_prev).sum(axis=0)":
             "dz_f * c_prev", "(dz_o * c).sum(axis=0)": "dz_o * c"},
            INPUT_FORGET, "dp_i must have the shape of p_i"),
    Mistake("peephole gradients without the cell state", "dp_i, dp_f and dp_o",
            {"(dz_i * c_prev)": "dz_i", "(dz_f * c_prev)": "dz_f", "(dz_o * c)": "dz_o"},
            INPUT_FORGET, "which factor stands beside each peephole weight?"),
    Mistake("dp_i and dp_f returned in the wrong order", "the return line",
            {"dp_i, dp_f, dp_o\n": "dp_f, dp_i, dp_o\n"},
            INPUT_FORGET, "compare with the list of results"),
    Mistake("output gate's gradient taken after dc went on", "dc",
            {" + dz_o * p_o": "", "dc_prev = dc * f": "dc = dc + dz_o * p_o\n    dc_prev = dc * f"},
            OUTPUT, "must di, df and dg not know of this part of dL/dc too?"),
    Mistake("h_prev in place of c_prev in dp_i and dp_f", "dp_i and dp_f",
            {"(dz_i * c_prev)": "(dz_i * h_prev)", "(dz_f * c_prev)": "(dz_f * h_prev)"},
            INPUT_FORGET, "which state do the peepholes look at?"),
)

R = "r = sigmoid(x @ W_xr + h_prev @ W_hr + b_r)"
U = "u = sigmoid(x @ W_xu + h_prev @ W_hu + b_u)"
N = "n = tanh(x @ W_xn + (r * h_prev) @ W_hn + b_n)"
GRU_H = "h = u * h_prev + (1 - u) * n"

GRU_BACKWARD = (
    Mistake("sign of du", "du",
            {"(h_prev - n)": "(n - h_prev)"},
            GRU_H, "what does u add to h, and what does it take away?"),
    Mistake("roles of u and 1 - u exchanged throughout", "du, dn and dh_prev",
            {"(h_prev - n)": "(n - h_prev)", "dn = dh * (1 - u)": "dn = dh * u", "dh * u + dm":
             "dh * (1 - u) + dm"},
            GRU_H, "does u keep the old state or take the new one?"),
    Mistake("1 - u missing in dn", "dn",
            {"dn = dh * (1 - u)": "dn = dh"},
            GRU_H, "which factor stands beside n?"),
    Mistake("W_hn not transposed", "dL/d(r * h_prev)",
            {"W_hn.T": "W_hn"},
            N, "which index of W_hn belongs to n, and is it the one you sum over?"),
    Mistake("W_hr and W_hu exchanged in dh_prev", "dh_prev",
            {"dz_r @ W_hr.T + dz_u @ W_hu.T": "dz_r @ W_hu.T + dz_u @ W_hr.T"},
            R, "which weights belong to which gate?"),
    Mistake("reset gate applied after the product with W_hn", "dr and dh_prev",
            {"dm = dz_n @ W_hn.T": "dm = (dz_n * r) @ W_hn.T / r", "dr = dm * h_prev":
             "dr = dz_n * (h_prev @ W_hn)"},
            N, "does r act on h_prev or on the product?"),
    Mistake("columns in the order u, r, n", "dz and dW_h",
            {"[dz_r, dz_u, dz_n]": "[dz_u, dz_r, dz_n]", "h_prev.T @ dz_r, h_prev.T @ dz_u,":
             "h_prev.T @ dz_u, h_prev.T @ dz_r,"},
            U, "in which order do the columns hold the gates?"),
    Mistake("columns of dz alone in the order u, r, n", "dz",
            {"[dz_r, dz_u, dz_n]": "[dz_u, dz_r, dz_n]"},
            U, "in which order do the columns hold the gates?"),
    Mistake("dW_x transposed", "dW_x",
            {"x.T @ dz\n": "dz.T @ x\n"},
            R, "dW_x must have the shape of W_x"),
    Mistake("all parameter gradients averaged over the batch", "dW_x, dW_h and db",
            {"x.T @ dz\n": "x.T @ dz / len(dz)\n", "dz_n], axis=1)\n    db":
             "dz_n], axis=1) / len(dz)\n    db", "dz.sum(": "dz.mean("},
            R, "the same parameters serve every row: how do their gradients join?"),
    Mistake("dW_x and dW_h returned in the wrong order", "the return line",
            {"dh_prev, dW_x, dW_h, db": "dh_prev, dW_h, dW_x, db"},
            R, "compare with the list of results"),
)
