"use strict";
// Shows what Python has computed. State is one object, and `show` draws the page from it.
const N = JSON.parse(document.getElementById("numbers").textContent);
const WORDS = JSON.parse(document.getElementById("words").textContent);
const $ = (query) => document.querySelector(query);
const T = N.xs.length, H = N.doutputs[0].length;
const state = { t: Math.floor(T / 2), unit: 0, node: "h", back: false, bias: null, mistake: "", guide: 1, language: 0 };
state.language = location.search === "?zh" || navigator.language.startsWith("zh") ? 1 : 0;

// ---------------------------------------------------------------- numbers and words

const broken = () => N.broken[state.mistake];
const plain = (v, digits = 4) => {
  if (v === 0) return "0";
  return Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6
    ? String(Number(v.toPrecision(digits)).toExponential()) : String(Number(v.toPrecision(digits)));
};
const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** The numbers of all units at step t: what is named `name`, right or with the present mistake. */
function row(name, t = state.t, right = false) {
  const wrong = right || !broken() ? {} : broken().values;
  if (name.endsWith("_next")) return t + 1 < T ? row(name.replace("_next", "_prev"), t + 1, right) : N.doutputs[0].map(() => 0);
  if (wrong[name]) return wrong[name][t];
  const [, d, z, what] = name.match(/^(d?)(z_)?(.*)$/), old = name.replace(/_prev$/, "");
  if (name === "doutput") return N.doutputs[t];
  if (d && z && N.dgates[what]) return N.dgates[what][t];
  if (d && N.dstates[what]) return N.dstates[what][t];
  if (N.gates[name]) return N.gates[name][t];
  if (N.states[old]) return N.states[old][old === name ? t + 1 : t];
  const all = N.values[name];
  return all && all[Math.min(t, all.length - 1)];
}
const value = (name, right) => (row(name, state.t, right) || [])[state.unit];
const isWrong = (name) => {
  const now = value(name), right = value(name, true);
  return Math.abs(now - right) > 1e-9 * Math.max(Math.abs(now), Math.abs(right));
};

function number(name, digits = 4, tag = "span", more = "") {
  const v = value(name);
  if (v === undefined) return "";
  const text = plain(v, digits), mistake = isWrong(name) ? ` data-broken="${state.mistake}"` : "";
  return `<${tag} ${more} data-name="${name}" data-t="${state.t}" data-unit="${state.unit}" data-value="${text}"${mistake}>${text}</${tag}>`;
}

function word(key, values = {}) {
  const text = (WORDS[key] || ["", ""])[state.language];
  return text.replace(/\{(\w+)\}/g, (_, name) => (name in values ? values[name] : number(name)));
}

/** What a number is, in words. */
function about(name) {
  if (WORDS[`is_${name}`]) return word(`is_${name}`);
  const [, d, z, rest] = name.match(/^(d?)(z_)?(.*)$/);
  const base = rest.replace(/_(prev|next)$/, "");
  if (d && name.endsWith("_prev")) return word("is_d_prev", { name: rest });
  if (d && name.endsWith("_next")) return word("is_d_next", { name: base });
  if (d) return word("is_d", { name: name.slice(1) });
  if (z) return word("is_z", { name: rest });
  return name.endsWith("_prev") ? word("is_prev", { name: base }) : word("is_other");
}

// ---------------------------------------------------------------- heat maps

const GATES = Object.keys(N.gates), STATES = Object.keys(N.states);
const FORWARD = [...GATES.filter((g) => !STATES.includes(g)), ...STATES.slice().reverse()];
const BACKWARD = [...STATES.map((s) => `d${s}`), ...Object.keys(N.dgates).map((g) => `dz_${g}`)];
const RAMP = [[0, 34, 78], [124, 123, 120], [254, 232, 56]];
const all = (name) => name === "x" ? N.xs : name === "dx" ? (broken() ? broken().values.dx : N.dxs) : [...Array(T).keys()].map((t) => row(name, t));
const extent = (rows) => rows.reduce((m, r) => r.reduce((n, v) => Math.max(n, Math.abs(v)), m), 0);
let largest = 1, decades = 8;  // the logarithmic colours: their upper end, and how far they reach down

/** Where a number stands between the ends of its scale, 0 to 1, or null for an exact zero. */
function scaled(name, v, most, share) {
  if (name[0] === "d") return v === 0 ? null : Math.min(1, Math.max(0, 1 + Math.log10(Math.abs(v) / largest) / decades));
  return share ? v / (name === "x" ? most || 1 : 1) : most ? 0.5 + v / most / 2 : 0.5;
}

function paint(figure) {
  const name = figure.dataset.map, rows = all(name), most = extent(rows);
  const share = rows.every((r) => r.every((v) => v >= 0)) && (name === "x" || (GATES.includes(name) && most <= 1));  // from 0 up
  const input = name === "x" || name === "dx";  // steps downwards, as in the picture
  const canvas = figure.querySelector("canvas"), width = rows[0].length;
  [canvas.width, canvas.height] = input ? [width, T] : [T, width];
  const image = new ImageData(canvas.width, canvas.height);
  rows.forEach((r, t) => r.forEach((v, u) => {
    const s = scaled(name, v, most, share), k = 4 * (input ? t * width + u : u * T + t);
    if (s === null) return;
    const part = Math.min(1, Math.floor(s * 2)), mix = s * 2 - part;
    for (let c = 0; c < 3; c++) image.data[k + c] = RAMP[part][c] + mix * (RAMP[part + 1][c] - RAMP[part][c]);
    image.data[k + 3] = 255;
  }));
  canvas.getContext("2d").putImageData(image, 0, 0);
  const range = name[0] === "d" ? `${plain(largest * 10 ** -decades, 2)} … ${plain(largest, 2)}` : `|…| ≤ ${plain(most, 3)}`;
  canvas.setAttribute("aria-label", word("map", { name, range }));
}

function buildMaps() {
  for (const [id, names] of [["forward", FORWARD], ["backward", BACKWARD]])
    $(`#${id}`).innerHTML = names.map((name) => `<figure><figcaption><b>${escaped(name)}</b></figcaption><div class="map" data-map="${escaped(name)}"></div></figure>`).join("");
  for (const figure of document.querySelectorAll(".map")) {
    figure.innerHTML = '<canvas role="img"></canvas><i></i><i></i>';
    const choose = (event) => {
      const box = figure.getBoundingClientRect(), input = ["x", "dx"].includes(figure.dataset.map);
      const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
      go(input ? { t: Math.floor(y * T) } : { t: Math.floor(x * T), unit: Math.floor(y * H), node: figure.dataset.map, back: figure.parentNode.parentNode.id === "backward" });
    };
    figure.addEventListener("pointerdown", choose);
    figure.addEventListener("pointermove", (event) => event.buttons && choose(event));
  }
}

function paintMaps() {
  const every = Math.ceil(BACKWARD.length * T * H / 20000), sizes = BACKWARD.flatMap((name) => all(name).flat().filter((v, k) => v && k % every === 0)).map(Math.abs).sort((a, b) => a - b);
  largest = Math.max(...BACKWARD.map((name) => extent(all(name)))) || 1;
  decades = Math.min(16, Math.max(2, Math.ceil(Math.log10(largest / (sizes[Math.floor(sizes.length / 50)] || largest)))));
  document.querySelectorAll(".map").forEach(paint);
  $("#low").textContent = plain(largest * 10 ** -decades, 2);
  $("#high").textContent = plain(largest, 2);
}

function moveCursors() {
  for (const figure of document.querySelectorAll(".map")) {
    const input = ["x", "dx"].includes(figure.dataset.map), [step, unit] = figure.querySelectorAll("i");
    const place = (k, n) => [`${100 * k / n}%`, `${100 / n}%`], [start, size] = place(state.t, T), [from, height] = place(state.unit, H);
    Object.assign(step.style, input ? { left: 0, width: "100%", top: start, height: size } : { left: start, width: size, top: 0, height: "100%" });
    Object.assign(unit.style, { left: 0, width: "100%", top: from, height });
    unit.hidden = input;
  }
}

// ---------------------------------------------------------------- the curve

function drawCurve() {
  const now = state.bias !== null ? N.what_if.cases[state.bias].norms : broken() ? broken().norms : N.norms;
  const lines = [];
  if (now !== N.norms) for (const k in N.norms) lines.push([k, N.norms[k], `${k[1]} ghost`]);
  if (N.rnn && N.cell !== "RNNCell") lines.push(["tanh RNN", N.rnn.dh, "rnn"]);
  for (const k of Object.keys(now).reverse()) lines.push([k, now[k], k === "dc" ? "c" : "h"]);
  const positive = lines.flatMap(([, norms]) => norms.filter((v) => v > 0));
  const high = Math.ceil(Math.log10(Math.max(...positive, 1e-300))), low = Math.max(high - 16, Math.min(high - 1, Math.floor(Math.log10(Math.min(...positive, 1e300)))));
  const x = (t) => 56 + 450 * (T > 1 ? t / (T - 1) : 0.5), y = (v) => 226 - 200 * (Math.log10(v) - low) / (high - low);
  let svg = "";
  for (let e = low, by = Math.ceil((high - low) / 8); e <= high; e += by)
    svg += `<line class="axis" x1="56" x2="506" y1="${y(10 ** e)}" y2="${y(10 ** e)}"/><text class="tick" x="50" y="${y(10 ** e) + 4}" text-anchor="end">1e${e}</text>`;
  svg += `<text class="tick" x="56" y="246">0</text><text class="tick" x="506" y="246" text-anchor="end">${T - 1}</text><text class="tick" x="281" y="246" text-anchor="middle">${word("curve_back")}</text>`;
  svg += `<line x1="${x(state.t)}" x2="${x(state.t)}" y1="20" y2="232" stroke="var(--ink)"/>`;
  let used = [];
  for (const [name, norms, kind] of lines) {
    let d = "", last = null;
    norms.forEach((v, t) => { if (v > 0 && y(v) < 232) { d += `${last === t - 1 ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`; last = t; } });
    if (T === 1 && last === 0) d += "m-6 0h12";
    svg += `<path class="${kind}" d="${d}"/>`;
    if (kind.includes("ghost") || last === null) continue;
    let at = y(norms[last]) + 5;
    while (used.some((other) => Math.abs(other - at) < 20)) at += 20;
    used.push(at);
    const rest = kind === "rnn" && word(N.rnn.trained ? "rnn_trained" : "rnn_new");
    svg += `<text class="${kind}" x="512" y="${at}">${rest ? name : `‖${name}‖`}</text>`;
    if (rest) { svg += `<text class="${kind}" x="512" y="${at + 18}">${rest}</text>`; used.push(at + 18); }
  }
  $("#curve svg").innerHTML = svg;
  const first = Object.values(N.norms)[0];
  $("#curve svg").setAttribute("aria-label", word("curve_label", { first: plain(first[0], 2), last: plain(first[T - 1], 2) }));
}

function drawTry() {
  const many = N.what_if, w = state.bias === null ? null : many.cases[state.bias];
  $("#what-if").hidden = !many;
  if (many) {
    $("#what-if span").textContent = word("what_if", { gate: many.gate });
    $("#what-if output").textContent = w ? w.bias : word("as_is");
  }
  const names = Object.keys(N.broken);
  $("#break").hidden = !names.length;
  $("#break select").innerHTML = ["", ...names].map((k) => `<option value="${k}"${k === state.mistake ? " selected" : ""}>${word(`break_${k || "none"}`)}</option>`).join("");
  const shown = Object.keys(N.equations).filter((name) => name[0] === "d");
  $("#try-text").textContent = w
    ? word("what_if_text", { bias: w.bias, gate: many.gate, mean: plain(w.gate.reduce((a, b) => a + b, 0) / T, 3) })
    : broken() ? word("break_text", { wrong: shown.filter(isWrong).length, all: shown.length }) : "";
}

// ---------------------------------------------------------------- the drawing

// box: [number forwards, number backwards, x, y]; edge: [path, gradient that it carries, its label's x, y]
const GATE_BOXES = (gates, y) => gates.flatMap(([g, x]) => [[g, `d${g}`, x, y], [`z_${g}`, `dz_${g}`, x, y + 66]]);
const DRAWINGS = {
  LSTMCell: {
    size: [780, 440],
    boxes: [["c_prev", "dc_prev", 60, 50], ["c", "dc", 545, 50], ...GATE_BOXES([["f", 190], ["i", 310], ["g", 430], ["o", 565]], 225),
      ["tanh_c", "dtanh_c", 690, 140], ["h", "dh", 690, 320], ["h_prev", "dh_prev", 60, 355], ["", "doutput", 590, 415]],
    ops: [["×", 190, 50], ["×", 370, 140], ["+", 370, 50], ["×", 690, 225]],
    edges: [["M110 50H173", "dc_prev", , , 1], ["M207 50H353", "dc", 280, 42, 1], ["M387 50H495", "dc", , , 1], ["M595 50H775", "dc_next", 725, 42, 1],
      ["M190 203V67", "df"], ["M310 203V140H353", "di"], ["M430 203V140H387", "dg"], ["M370 123V67", "dc", 415, 100],
      ["M595 50H690V118", "dc_h", 640, 105], ["M690 162V208", "dtanh_c"], ["M615 225H673", "do"], ["M690 242V298", "dh"], ["M740 320H776", "dh_next", 740, 375], ["M690 342V415H640", "doutput", , , , 1],
      ["M190 269V313", ""], ["M110 355H140V385H190V313", "dz_f"], ["M140 385H310V313", "dz_i"], ["M140 385H430V313", "dz_g"], ["M140 385H565V313", "dz_o"], ["M60 425H140V385", ""]],
    labels: [["x", 40, 430], ["f", 250, 75, "dc × f"]],
  },
  RNNCell: {
    size: [780, 250],
    boxes: [["h_prev", "dh_prev", 70, 60], ["hW_h", "dzW_h", 220, 60], ["xW_h", "", 220, 190], ["z_h", "dz_h", 430, 60], ["h", "dh", 610, 60], ["", "doutput", 610, 190]],
    ops: [["+", 330, 60]],
    edges: [["M120 60H170", "dh_prev"], ["M270 60H313", "dz_h"], ["M270 190H330V77", ""], ["M347 60H380", "dz_h"], ["M480 60H560", "dh"], ["M660 60H775", "dh_next", 715, 50], ["M70 190H170", ""], ["M610 82V168", "doutput", , , , 1]],
    labels: [["x", 45, 195], ["slope", 520, 100, "dh × slope"]],
  },
  GRUCell: {
    size: [780, 420],
    boxes: [["h_prev", "dh_prev", 60, 50], ["h", "dh", 620, 50], ...GATE_BOXES([["u", 210], ["r", 340], ["n", 550]], 205), ["", "doutput", 700, 205]],
    ops: [["×", 210, 50], ["+", 440, 50], ["×", 440, 130], ["×", 445, 271]],
    edges: [["M110 50H193", "dh_prev", , , 1], ["M227 50H423", "dh", 320, 42, 1], ["M457 50H570", "dh", , , 1], ["M670 50H775", "dh_next", 722, 42, 1],
      ["M210 183V67", "du"], ["M260 195H300V130H423", "du"], ["M550 183V130H457", "dn"], ["M440 113V67", "dh", 485, 98], ["M620 72V205H650", "doutput", , , , 1],
      ["M390 205H445V254", "dr"], ["M462 271H500", "dz_n"], ["M445 370V288", ""], ["M60 72V370H210V293", "dz_u"], ["M60 370H340V293", "dz_r"], ["M60 370H550V293", "dz_n"], ["M60 400H120V370", ""]],
    labels: [["x", 40, 405], ["u", 270, 75, "dh × u"], ["1 − u", 340, 122]],
  },
};
const OTHER = (() => {
  const names = [...new Set([...FORWARD, ...STATES.map((s) => `${s}_prev`), ...Object.keys(N.dgates).map((g) => `z_${g}`), ...Object.keys(N.values)])].filter((n) => n[0] !== "d" && !/^b_/.test(n));
  return { size: [780, 20 + 70 * Math.ceil(names.length / 6)], ops: [], edges: [], labels: [], boxes: names.map((n, k) => [n, `d${n}`, 75 + 125 * (k % 6), 45 + 70 * Math.floor(k / 6)]) };
})();
const DRAWING = N.code.length || !DRAWINGS[N.cell] ? OTHER : DRAWINGS[N.cell];

function box([ahead, behind, x, y]) {
  const name = state.back ? behind : ahead, v = name && value(name);
  if (v === undefined || v === "") return state.back && ahead && value(ahead) !== undefined && !behind ? box([ahead, ahead, x, y]) : "";
  const wrong = state.back && isWrong(name);
  return `<g class="node${wrong ? " wrong" : ""}" role="button" tabindex="0" data-node="${name}" aria-pressed="${name === state.node}" aria-label="${escaped(`${name} ${plain(v)}, ${about(name)}${wrong ? `, ${word("wrong")}` : ""}`)}">` +
    `<rect x="${x - 50}" y="${y - 22}" width="100" height="44"/><text class="name" x="${x}" y="${y - 5}">${wrong ? "✗ " : ""}${name}</text>` +
    `${number(name, 4, "text", `class="number" x="${x}" y="${y + 14}"`)}</g>`;
}

function edge([path, gradient, x, y, carry, only], k) {
  if (only && !state.back) return "";
  const v = gradient ? value(gradient) : undefined, back = state.back && v !== undefined;
  const size = !back ? 2 : v === 0 ? 1 : 1.5 + 7 * Math.max(0, 1 + Math.log10(Math.abs(v) / unitTop) / 5);
  let svg = `<path class="edge${carry ? " carry" : ""}" d="${path}" style="stroke-width:${size}"${back && v === 0 ? ' stroke-dasharray="3 5"' : ""} marker-${back ? "start" : "end"}="url(#arrow)"/>`;
  if (back && x) svg += `<g class="node${isWrong(gradient) ? " wrong" : ""}" role="button" tabindex="0" data-node="${gradient}" data-edge="${k}" aria-pressed="${gradient === state.node}" aria-label="${gradient} ${plain(v)}"><text x="${x}" y="${y - 13}" class="name" font-size="12">${gradient}</text>${number(gradient, 4, "text", `class="number" font-size="13" x="${x}" y="${y}"`)}</g>`;
  return svg;
}
let unitTop = 1;

function drawCell() {
  const { size, boxes, ops, edges, labels } = DRAWING, focused = document.activeElement.dataset?.node;
  unitTop = Math.max(...edges.map(([, g]) => (g ? Math.abs(value(g)) || 0 : 0))) || 1;
  let svg = '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="16" markerHeight="16" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z"/></marker></defs>';
  svg += edges.map(edge).join("") + ops.map(([sign, x, y]) => `<g class="op"><circle cx="${x}" cy="${y}" r="17"/><text x="${x}" y="${y + 5}" font-size="19">${sign}</text></g>`).join("");
  for (const [name, x, y, factor] of labels)
    svg += !factor ? `<text x="${x}" y="${y}">${name}</text>` : state.back ? `<text class="factor" x="${x}" y="${y + 6}">${factor} = </text>${number(name, 4, "text", `class="number factor" x="${x}" y="${y + 24}"`)}` : "";
  $("#drawing").setAttribute("viewBox", `0 0 ${size.join(" ")}`);
  $("#drawing").innerHTML = svg + boxes.map(box).join("");
  if (focused) $(`#drawing [data-node="${focused}"]`)?.focus();
  $("#cell-title").textContent = word("cell_title", { cell: N.cell, t: state.t, unit: state.unit });
  $("#story").innerHTML = word(!state.back && DRAWING !== OTHER ? "story_forward" : `story_${DRAWING === OTHER ? "other" : N.cell}`);
}

function drawEquation() {
  const name = state.node, right = N.equations[name], changed = broken()?.equations[name];
  const formula = changed?.formula || right?.formula, digits = (changed || right)?.digits[state.t][state.unit];
  $("#about").innerHTML = `<b>${escaped(name)}</b> ${name in N.equations || value(name) === undefined ? "" : `= ${number(name)} `}– ${escaped(about(name))}`;
  const parts = formula ? formula.match(/[^\W\d][\w]*|σ|\d+|\S/gu) : [], operand = (p) => /^[^\W\d]/u.test(p) && value(p) !== undefined;
  const spaced = (texts) => texts.join(" ").replace(/\( /g, "(").replace(/ \)/g, ")").replace(/(σ|tanh|max) \(/g, "$1(").replace(/ ,/g, ",");
  const minus = (p) => ({ "*": "×", "-": "−" })[p] || p;
  $("#symbols").innerHTML = formula ? `${name} = ${spaced(parts.map((p) => (p === "*" ? "⊙" : escaped(minus(p)))))}` : "";
  $("#with-numbers").innerHTML = formula ? `${spaced(parts.map((p) => (operand(p) ? number(p, parseInt(digits, 36)) : escaped(minus(p)))))} = ${number(name)}` : "";
  const products = parts.map((p) => p.match(/^(xW|hW|dzW|mW|dqW)_(\w+)$/)).filter(Boolean);
  $("#products").textContent = products.filter((p, k) => products.findIndex((q) => q[1] === p[1]) === k).map(([, kind, gate]) => word(`product_${kind}`, { gate })).join(" ");
  const elsewhere = name.replace(/^[xh]W_/, "z_").replace(/^dzW_.*/, "dh_prev").replace(/_next$/, "_prev");  // the line of the step beside
  const code = (right || N.equations[elsewhere] || N.equations[name.replace(/_prev$/, "")])?.code, pieces = code ? [code] : N.code;
  $("#code-place").textContent = pieces.map(({ file, line }) => word("line", { file, line })).join("; ");
  const edit = broken()?.rows[0] === name ? `\n\n<del>${escaped(broken().old)}</del>\n<ins>${escaped(broken().new)}</ins>` : "";
  $("#code").innerHTML = pieces.map(({ text }) => escaped(text)).join("\n\n") + edit;
}

// ---------------------------------------------------------------- the page

const CARRIED = { LSTMCell: "dc_prev", GRUCell: "dh_prev" }[N.cell] || "dh_prev";
const KIND = { GRUCell: "_gru", RNNCell: "_rnn" }[N.cell] || "";
const GUIDE = [{ t: 0, back: false, node: "h" }, { t: T - 1, back: true, node: "dh" }, { t: Math.floor(T / 2), back: true, node: "dh_prev", mistake: KIND === "_rnn" ? "" : "carry" },
  { t: Math.floor(T / 2), back: true, node: CARRIED }, { t: Math.floor(T / 2), back: true, node: CARRIED }].slice(0, DRAWING === OTHER ? 2 : 5);

function translate() {
  document.documentElement.lang = state.language ? "zh" : "en";
  $("#language").textContent = state.language ? "English" : "中文";
  $("#language").lang = state.language ? "en" : "zh";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", word(element.dataset.label, { gate: N.what_if?.gate }));
  const one = !N.every_step && N.loss_function === "cross_entropy" && !Array.isArray(N.targets);
  const answer = N.outputs.indexOf(Math.max(...N.outputs)), loss = plain(N.loss, 3);
  $("#lead").textContent = word(one ? "lead" : "lead_many", { cell: N.cell, H, T, target: N.targets, answer, loss });
  $("#guide ol").innerHTML = GUIDE.map((_, k) => `<li><button data-guide="${k + 1}">${word(k === 3 ? `guide_4${KIND}` : `guide_${k + 1}`)}</button></li>`).join("");
  paintMaps();
}

function show() {
  state.t = Math.min(T - 1, Math.max(0, state.t)), state.unit = Math.min(H - 1, Math.max(0, state.unit));
  for (const name of ["t", "unit"]) {
    $(`#${name}`).value = state[name];
    $(`#${name}-text`).textContent = `${state[name]} / ${(name === "t" ? T : H) - 1}`;
  }
  $("#play").textContent = word(timer ? "pause" : "play");
  $("#play").setAttribute("aria-pressed", Boolean(timer));
  const now = word(state.back ? "is_backward" : "is_forward");
  $("#direction").textContent = now;
  $("#direction").setAttribute("aria-label", word("direction", { now }));
  $("#direction").setAttribute("aria-pressed", state.back);
  document.querySelectorAll("[data-guide]").forEach((b, k) => (k + 1 === state.guide ? b.setAttribute("aria-current", "step") : b.removeAttribute("aria-current")));
  $("#caption").textContent = word(`caption_${state.guide}${state.guide === 2 && N.every_step ? "_every" : state.guide > 2 && state.guide < 5 ? KIND : ""}`);
  moveCursors(), drawCurve(), drawTry(), drawCell(), drawEquation();
}

/** Change the state and draw what follows from it. */
function go(changes) {
  const turned = "back" in changes && changes.back !== state.back, repaint = "mistake" in changes;
  Object.assign(state, changes);
  if (turned && !("node" in changes)) {  // the same box, seen from the other side
    const pair = DRAWING.boxes.find(([a, b]) => (state.back ? a : b) === state.node);
    state.node = pair ? pair[state.back ? 1 : 0] || pair[0] : state.back ? "dh" : "h";
  }
  if (repaint) paintMaps();
  show();
}

let timer = 0;
function play() {
  if (timer) timer = clearInterval(timer) || 0;
  else {
    const from = state.back ? T - 1 : 0, end = state.back ? 0 : T - 1, by = state.back ? -1 : 1;
    if (state.t === end) state.t = from;
    timer = setInterval(() => (state.t === end ? play() : go({ t: state.t + by })), Math.max(40, Math.min(300, 9000 / T)));
  }
  show();
}

$("#play").onclick = play;
$("#direction").onclick = () => go({ back: !state.back });
$("#t").oninput = (event) => go({ t: Number(event.target.value) });
$("#unit").oninput = (event) => go({ unit: Number(event.target.value) });
$("#language").onclick = () => { state.language = 1 - state.language; translate(); show(); };
$("#theme").onclick = () => {
  const root = document.documentElement.dataset;
  root.theme = (root.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark" ? "light" : "dark";
};
$("#what-if input").oninput = (event) => go({ bias: Number(event.target.value), ...(state.mistake ? { mistake: "" } : {}) });
$("#what-if button").onclick = () => go({ bias: null });
$("#break select").onchange = (event) => go({ mistake: event.target.value, bias: null, back: true, node: N.broken[event.target.value]?.rows[0] || state.node });
document.addEventListener("click", (event) => {
  const guide = event.target.closest("[data-guide]"), node = event.target.closest("[data-node]");
  if (guide) go({ guide: Number(guide.dataset.guide), mistake: "", bias: null, ...GUIDE[guide.dataset.guide - 1] });
  if (node) go({ node: node.dataset.node });
});
document.addEventListener("keydown", (event) => {
  const control = event.target.closest("input, select"), button = event.target.closest("button, [role=button]");
  if (event.ctrlKey || event.metaKey || event.altKey || control) return;
  const keys = {
    ArrowLeft: () => go({ t: state.t - 1 }), ArrowRight: () => go({ t: state.t + 1 }), ArrowUp: () => go({ unit: state.unit - 1 }), ArrowDown: () => go({ unit: state.unit + 1 }),
    Home: () => go({ t: 0 }), End: () => go({ t: T - 1 }), b: () => go({ back: !state.back }), " ": play, Enter: () => {},
  };
  if (button && event.key in { " ": 1, Enter: 1 }) {
    if (button.dataset.node) event.preventDefault(), go({ node: button.dataset.node });
  } else if (keys[event.key] && event.key !== "Enter") event.preventDefault(), keys[event.key]();
});

[$("#t").max, $("#unit").max] = [T - 1, H - 1];
if (N.what_if) {
  $("#what-if input").max = N.what_if.cases.length - 1;
  $("#what-if input").value = N.what_if.cases.findIndex(({ bias }) => bias >= N.what_if.start);
}
// Begin with the unit whose gradient is the largest at the end: there is something to see.
const last = row("dh", T - 1).map(Math.abs);
state.unit = last.indexOf(Math.max(...last));
buildMaps(), translate(), show();
