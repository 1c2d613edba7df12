"""Published LSTMs and the GRU, unit by unit, in plain Python and in the papers' own letters.

Nothing is shared with the package: no arrays, no matrix products, one sequence at a time. Weights
come as `w[key][j][k]`, from source k to unit j. All numbers may be complex, so that the complex
step passes through.
"""

from cmath import exp, tanh


def logistic(a):
    return 1 / (1 + exp(-a))


def logistic_slope(a):
    return logistic(a) * (1 - logistic(a))


def dot(weights, values):
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


# Greff et al. (2017): the vanilla LSTM V and its eight variants.


def greff_step(w, x, before, variant="V"):
    """The forward pass. Keys of w: "W", "R" and "b" + unit, "p" + gate, "R" + gate + gate."""
    y, c_before = before["y"], before["c"]
    units = range(len(c_before))

    def squash_g(a):
        return a if variant == "NIAF" else tanh(a)

    def squash_h(a):
        return a if variant == "NOAF" else tanh(a)

    def net(unit, j):
        a = dot(w["W" + unit][j], x) + dot(w["R" + unit][j], y) + w["b" + unit][j]
        if variant == "FGR" and unit != "z":
            a += sum(dot(w["R" + source + unit][j], before[source]) for source in "ifo")
        return a

    def gate(name, j, c):
        peephole = 0 if variant == "NP" else w["p" + name][j] * c[j]
        return logistic(net(name, j) + peephole)

    z = [squash_g(net("z", j)) for j in units]
    i = [1 if variant == "NIG" else gate("i", j, c_before) for j in units]
    if variant == "CIFG":
        f = [1 - i[j] for j in units]
    else:
        f = [1 if variant == "NFG" else gate("f", j, c_before) for j in units]
    c = [z[j] * i[j] + c_before[j] * f[j] for j in units]
    o = [1 if variant == "NOG" else gate("o", j, c) for j in units]
    return {"z": z, "i": i, "f": f, "c": c, "o": o, "y": [squash_h(c[j]) * o[j] for j in units]}


def greff_backward(w, xs, trace, Delta, dc_last):
    """Section 2, equations of the backward pass of V. trace[t + 1] follows xs[t]."""
    T, units, inputs = len(xs), range(len(dc_last)), range(len(xs[0]))
    nothing = [0 for _ in units]
    grads = {"W" + k: [[0 for _ in inputs] for _ in units] for k in "zifo"}
    grads |= {"R" + k: [[0 for _ in units] for _ in units] for k in "zifo"}
    grads |= {kind: list(nothing) for kind in ("bz", "bi", "bf", "bo", "pi", "pf", "po")}

    after = dict.fromkeys("zifo", nothing)
    carried = dc_last  # the last two terms of δc, from step t + 1
    for t in reversed(range(T)):
        now, before = trace[t + 1], trace[t]
        dy, do, dc, df, di, dz = ([0 for _ in units] for _ in range(6))
        for j in units:
            dy[j] = Delta[t][j] + sum(w["R" + k][m][j] * after[k][m] for k in "zifo" for m in units)
            do[j] = dy[j] * tanh(now["c"][j]) * now["o"][j] * (1 - now["o"][j])
            dc[j] = dy[j] * now["o"][j] * (1 - tanh(now["c"][j]) ** 2)
            dc[j] += w["po"][j] * do[j] + w["pi"][j] * after["i"][j] + w["pf"][j] * after["f"][j]
            dc[j] += carried[j]
            df[j] = dc[j] * before["c"][j] * now["f"][j] * (1 - now["f"][j])
            di[j] = dc[j] * now["z"][j] * now["i"][j] * (1 - now["i"][j])
            dz[j] = dc[j] * now["i"][j] * (1 - now["z"][j] ** 2)
        delta = {"z": dz, "i": di, "f": df, "o": do}
        for k in "zifo":
            for j in units:
                grads["b" + k][j] += delta[k][j]
                for n in inputs:
                    grads["W" + k][j][n] += delta[k][j] * xs[t][n]
                for m in units:
                    grads["R" + k][j][m] += delta[k][j] * before["y"][m]
        for j in units:
            grads["pi"][j] += before["c"][j] * di[j]
            grads["pf"][j] += before["c"][j] * df[j]
            grads["po"][j] += now["c"][j] * do[j]
        after, carried = delta, [dc[j] * now["f"][j] for j in units]
    return grads


# Graves (2012), chapter 4: blocks of C cells that share their gates, with peepholes.


def graves_step(w, x, b_before, s_before, C):
    """Keys of w: unit + "x", unit + "h", unit + "0" (bias), gate + "s" (peepholes of its block)."""
    cells = range(len(s_before))
    blocks = range(len(s_before) // C)

    def a(unit, j):
        return dot(w[unit + "x"][j], x) + dot(w[unit + "h"][j], b_before) + w[unit + "0"][j]

    def peephole(gate, block, s):
        return sum(w[gate + "s"][c] * s[c] for c in cells if c // C == block)

    a_iota = [a("iota", block) + peephole("iota", block, s_before) for block in blocks]
    a_phi = [a("phi", block) + peephole("phi", block, s_before) for block in blocks]
    a_c = [a("c", c) for c in cells]
    b_iota, b_phi = [logistic(v) for v in a_iota], [logistic(v) for v in a_phi]
    s = [b_phi[c // C] * s_before[c] + b_iota[c // C] * tanh(a_c[c]) for c in cells]
    a_omega = [a("omega", block) + peephole("omega", block, s) for block in blocks]
    b_omega = [logistic(v) for v in a_omega]
    b = [b_omega[c // C] * tanh(s[c]) for c in cells]
    return {
        **{"a_iota": a_iota, "a_phi": a_phi, "a_c": a_c, "a_omega": a_omega},
        **{"b_iota": b_iota, "b_phi": b_phi, "b_omega": b_omega, "s": s, "b": b},
    }


def graves_backward(w, xs, trace, errors, C):
    """The backward pass of chapter 4; errors[t][c] is what the output layer sends to cell c."""
    cells = range(len(errors[0]))
    blocks = range(len(cells) // C)
    grads = {key: [0 * v if key[-1] in "0s" else [0 * u for u in v] for v in w[key]] for key in w}
    delta_after = {"iota": [0 for _ in blocks], "phi": [0 for _ in blocks]}
    delta_after |= {"omega": [0 for _ in blocks], "c": [0 for _ in cells]}
    epsilon_s_after, b_phi_after = [0 for _ in cells], [0 for _ in blocks]

    for t in reversed(range(len(xs))):
        now, before = trace[t + 1], trace[t]
        epsilon_c = [
            errors[t][c]
            + sum(w[g + "h"][j][c] * d for g in delta_after for j, d in enumerate(delta_after[g]))
            for c in cells
        ]
        delta = {gate: [0 for _ in blocks] for gate in ("iota", "phi", "omega")}
        delta["c"] = [0 for _ in cells]
        for block in blocks:
            own = [c for c in cells if c // C == block]
            delta["omega"][block] = logistic_slope(now["a_omega"][block]) * sum(
                tanh(now["s"][c]) * epsilon_c[c] for c in own
            )
        epsilon_s = [
            now["b_omega"][c // C] * (1 - tanh(now["s"][c]) ** 2) * epsilon_c[c]
            + b_phi_after[c // C] * epsilon_s_after[c]
            + w["iotas"][c] * delta_after["iota"][c // C]
            + w["phis"][c] * delta_after["phi"][c // C]
            + w["omegas"][c] * delta["omega"][c // C]
            for c in cells
        ]
        for c in cells:
            slope = 1 - tanh(now["a_c"][c]) ** 2
            delta["c"][c] = now["b_iota"][c // C] * slope * epsilon_s[c]
        for block in blocks:
            own = [c for c in cells if c // C == block]
            delta["phi"][block] = logistic_slope(now["a_phi"][block]) * sum(
                before["s"][c] * epsilon_s[c] for c in own
            )
            delta["iota"][block] = logistic_slope(now["a_iota"][block]) * sum(
                tanh(now["a_c"][c]) * epsilon_s[c] for c in own
            )

        for unit, deltas in delta.items():
            for j, d in enumerate(deltas):
                grads[unit + "0"][j] += d
                for n, value in enumerate(xs[t]):
                    grads[unit + "x"][j][n] += d * value
                for n, value in enumerate(before["b"]):
                    grads[unit + "h"][j][n] += d * value
        for c in cells:
            grads["iotas"][c] += before["s"][c] * delta["iota"][c // C]
            grads["phis"][c] += before["s"][c] * delta["phi"][c // C]
            grads["omegas"][c] += now["s"][c] * delta["omega"][c // C]
        delta_after, epsilon_s_after, b_phi_after = delta, epsilon_s, now["b_phi"]
    return grads


# Hochreiter & Schmidhuber (1997), section 4 and appendix A.1; with a forget gate Gers, Schmidhuber
# & Cummins (2000); with peepholes Gers, Schraudolph & Schmidhuber (2002).


def h_1997(x):
    return 2 / (1 + exp(-x)) - 1


def g_1997(x):
    return 4 / (1 + exp(-x)) - 2


def slope_h_1997(x):
    return 2 * logistic_slope(x)


def slope_g_1997(x):
    return 4 * logistic_slope(x)


def cells_1997(w, xs, y_c, s, y_gates, C):
    """Run the net over xs and yield everything that each step computes.

    Keys of w: "in", "out", "c", perhaps "phi", each with weights from all sources, which are x,
    cell outputs, gate outputs (in, phi, out; none if y_gates is empty), 1; perhaps gate + "_peep".
    """
    kinds = [kind for kind in ("in", "phi", "out") if kind in w]
    blocks, cells = range(len(s) // C), range(len(s))
    for x in xs:
        before = [*x, *y_c, *y_gates, 1]
        s_before = s

        def net(kind, j, s, before=before):
            peep = w.get(kind + "_peep", [0 for _ in cells])
            return dot(w[kind][j], before) + sum(peep[v] * s[v] for v in cells if v // C == j)

        nets = {kind: [net(kind, j, s_before) for j in blocks] for kind in kinds if kind != "out"}
        nets["c"] = [dot(w["c"][v], before) for v in cells]
        y = {kind: [logistic(value) for value in nets[kind]] for kind in kinds if kind != "out"}
        keep = y.get("phi", [1 for _ in blocks])
        s = [keep[v // C] * s_before[v] + y["in"][v // C] * g_1997(nets["c"][v]) for v in cells]
        nets["out"] = [net("out", j, s) for j in blocks]
        y["out"] = [logistic(value) for value in nets["out"]]
        y_c = [y["out"][v // C] * h_1997(s[v]) for v in cells]
        y_gates = [value for kind in kinds for value in y[kind]] if y_gates else []
        yield {"before": before, "s_before": s_before, "s": s, "nets": nets, "y": y, "y_c": y_c}


def truncated_gradient_1997(w, steps, errors, ds_last, C):
    """Appendix A.1: the truncated gradient, computed forward in time.

    For every weight of a cell, its input gate and its forget gate the partial ∂s/∂w is carried
    along; errors[t][v] = ∂L/∂y_c reaches it through the internal state's error e_s.
    """
    cells = range(len(ds_last))
    kinds = [kind for kind in ("in", "phi", "c") if kind in w]
    zeros = {key: [0 for _ in v] if key.endswith("_peep") else [[0 for _ in u] for u in v]
             for key, v in w.items()}  # fmt: skip
    grads = {key: [list(v) if isinstance(v, list) else v for v in zeros[key]] for key in w}
    fan = len(w["c"][0])
    partial = {(kind, v): [0] * fan for kind in kinds for v in cells}
    partial |= {(kind + "_peep", v, u): 0 for kind in kinds for v in cells for u in cells}

    for t, step in enumerate(steps):
        nets, y, s, s_before = step["nets"], step["y"], step["s"], step["s_before"]
        for v in cells:
            j = v // C
            keep = y["phi"][j] if "phi" in y else 1
            drive = {
                "c": y["in"][j] * slope_g_1997(nets["c"][v]),
                "in": g_1997(nets["c"][v]) * logistic_slope(nets["in"][j]),
            }
            if "phi" in y:
                drive["phi"] = s_before[v] * logistic_slope(nets["phi"][j])
            e_out = h_1997(s[v]) * logistic_slope(nets["out"][j]) * errors[t][v]
            e_s = y["out"][j] * slope_h_1997(s[v]) * errors[t][v]
            if t == len(steps) - 1:
                e_s += ds_last[v]
            for k, source in enumerate(step["before"]):
                grads["out"][j][k] += e_out * source
                for kind in kinds:
                    unit = v if kind == "c" else j
                    partial[kind, v][k] = keep * partial[kind, v][k] + drive[kind] * source
                    grads[kind][unit][k] += e_s * partial[kind, v][k]
            for u in (u for u in cells if u // C == j and "in_peep" in w):
                grads["out_peep"][u] += e_out * s[u]
                for kind in set(kinds) - {"c"}:
                    key = (kind + "_peep", v, u)
                    partial[key] = keep * partial[key] + drive[kind] * s_before[u]
                    grads[kind + "_peep"][u] += e_s * partial[key]
    return grads


# Cho et al. (2014), equations 5 to 8, with the biases of TensorFlow 1.


def gru_step(w, x, h):
    """Keys of w: "Wr", "Ur", "br"; "Wz", "Uz", "bz"; "W", "U", "b"."""
    units = range(len(h))
    r = [logistic(dot(w["Wr"][j], x) + dot(w["Ur"][j], h) + w["br"][j]) for j in units]
    z = [logistic(dot(w["Wz"][j], x) + dot(w["Uz"][j], h) + w["bz"][j]) for j in units]
    reset = [r[j] * h[j] for j in units]
    new = [tanh(dot(w["W"][j], x) + dot(w["U"][j], reset) + w["b"][j]) for j in units]
    return [z[j] * h[j] + (1 - z[j]) * new[j] for j in units]


# What came after the LSTM. Weights are w[unit][j] = (weights of x, weights of h, bias).


def net(weights, x, h=()):
    from_x, from_h, bias = weights
    return dot(from_x, x) + dot(from_h, h) + bias


def min_gru_step(w, x, h):
    """Feng et al. (2024), section 3.1: z and h̃ are "i" and "g"."""
    z = [logistic(net(w["i"][j], x)) for j in range(len(h))]
    return [(1 - z[j]) * h[j] + z[j] * net(w["g"][j], x) for j in range(len(h))]


def min_lstm_step(w, x, h):
    """Feng et al. (2024), section 3.2, with the normalised gates f' and i'."""
    new = []
    for j in range(len(h)):
        f, i = logistic(net(w["f"][j], x)), logistic(net(w["i"][j], x))
        new.append(f / (f + i) * h[j] + i / (f + i) * net(w["g"][j], x))
    return new


def slstm_step(w, x, h, c, n, heads, forget):
    """Beck et al. (2024), equations 8 to 14, as they stand there: nothing is stabilised."""
    units = range(len(h))
    width = len(h) // heads
    new_h, new_c, new_n = [], [], []
    for j in units:
        own = h[j // width * width : (j // width + 1) * width]
        i, f = exp(net(w["i"][j], x, own)), forget(net(w["f"][j], x, own))
        z, o = tanh(net(w["g"][j], x, own)), logistic(net(w["o"][j], x, own))
        new_c.append(f * c[j] + i * z)
        new_n.append(f * n[j] + i)
        new_h.append(o * new_c[j] / new_n[j])
    return new_h, new_c, new_n


def mlstm_step(w, x, C, n, heads, forget):
    """Beck et al. (2024), equations 19 to 27, as they stand there; C[head][row][column]."""
    d = len(n[0])
    q, v = ([net(weights, x) for weights in w[unit]] for unit in "qv")
    o = [logistic(net(weights, x)) for weights in w["o"]]
    k = [dot(from_x, x) / d**0.5 + bias for from_x, _, bias in w["k"]]
    h = []
    for head in range(heads):
        i, f = exp(net(w["i"][head], x)), forget(net(w["f"][head], x))
        units = [head * d + j for j in range(d)]
        C[head] = [
            [f * C[head][a][b] + i * v[units[a]] * k[units[b]] for b in range(d)] for a in range(d)
        ]
        n[head] = [f * n[head][b] + i * k[units[b]] for b in range(d)]
        nq = dot(n[head], [q[u] for u in units])
        nq = -nq if complex(nq).real < 0 else nq
        divisor = nq if complex(nq).real > 1 else 1
        h += [o[units[a]] * dot(C[head][a], [q[u] for u in units]) / divisor for a in range(d)]
    return h, C, n


def lru_step(p, x, s):
    """Orvieto et al. (2023), equation 7: s is complex; p holds lists named as in the paper."""
    units = range(len(s))
    size = [exp(-exp(p["nu_log"][j])) for j in units]
    turn = [exp(1j * exp(p["theta_log"][j])) for j in units]
    s = [size[j] * turn[j] * s[j] + exp(p["gamma_log"][j]) * dot(p["B"][j], x) for j in units]
    return [dot(p["C"][j], s).real + dot(p["D"][j], x) for j in units], s
