// Draws one series: what came, what had been expected, what is expected. SVG, no library.
// The figures are in the page beside the plot; nothing is fetched here.

const SVG = "http://www.w3.org/2000/svg";
const HOURS = [0.25, 0.5, 1, 2, 3, 4, 6, 12, 24];
const chosen = new Map(); // plot id -> instant under the pointer, kept over a redraw

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

export function format(value, unit) {
  if (value === null || value === undefined) return "\u2014";
  const short = (number) => {
    const size = Math.abs(number);
    return number.toLocaleString("en", { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3 }).replaceAll(",", "\u202f");
  };
  if (unit === "ratio") return `${short(value * 100)}\u202f%`;
  if (unit === "bytes" || unit === "bytes_per_second") {
    const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    const power = Math.min(5, Math.abs(value) >= 1 ? Math.floor(Math.log(Math.abs(value)) / Math.log(1024)) : 0);
    return `${short(value / 1024 ** power)}\u00a0${names[power]}${unit === "bytes" ? "" : "/s"}`;
  }
  const suffix = { cores: value === 1 ? "core" : "cores", per_second: "/s", ms: "ms", seconds: "s", celsius: "\u00b0C", watts: "W" }[unit];
  return suffix ? `${short(value)}${suffix === "/s" ? "\u202f" : "\u00a0"}${suffix}` : short(value);
}

const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function niceTicks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return { ticks, step };
}

// Runs of neighbouring rows: a gap in the data is a gap in the line.
function runs(rows, step) {
  const found = [];
  rows.forEach((row, index) => {
    if (index === 0 || row[0] - rows[index - 1][0] > step * 1.5) found.push([]);
    found.at(-1).push(row);
  });
  return found;
}

function scales(figures, width, height) {
  const rows = [...figures.past, ...figures.ahead];
  const values = [...figures.actual.map((row) => row[1]), ...rows.flatMap((row) => [row[1], row[3]])];
  const last = figures.ahead.at(-1);
  const end = Math.max(figures.now, last ? last[0] + figures.step : 0);
  let low = Math.min(0, ...values);
  let high = Math.max(...values, low + 1e-9);
  const { ticks, step } = niceTicks(low, high, height > 190 ? 4 : 3);
  low = Math.min(low, ticks[0]);
  high = Math.max(high, ticks.at(-1)) + (high > ticks.at(-1) ? step * 0.1 : 0);
  const box = { left: 0, right: width, top: 16, bottom: height - 20 };
  return {
    box, ticks, end,
    x: (at) => box.left + ((at - figures.since) / (end - figures.since)) * (box.right - box.left),
    y: (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top),
    at: (pixel) => figures.since + ((pixel - box.left) / (box.right - box.left)) * (end - figures.since),
  };
}

function axes(svg, figures, scale, width) {
  for (const tick of scale.ticks) {
    const y = Math.round(scale.y(tick)) + 0.5;
    element("line", { class: "grid", x1: 0, x2: width, y1: y, y2: y }, svg);
    if (tick !== 0 || scale.ticks.length < 3) element("text", { x: 0, y: y - 4 }, svg).textContent = format(tick, figures.unit);
  }
  const span = (scale.end - figures.since) / 3600;
  const hours = HOURS.find((candidate) => span / candidate <= width / 72) ?? 24;
  const start = new Date(figures.since * 1000);
  start.setMinutes(0, 0, 0);
  for (let at = start.getTime() / 1000; at < scale.end; at += hours * 3600) {
    const local = new Date(at * 1000);
    if (hours > 1 && local.getHours() % hours !== 0) at += (hours - (local.getHours() % hours)) * 3600;
    const x = scale.x(at);
    if (x < 16 || x > width - 16) continue;
    element("text", { x, y: scale.box.bottom + 15, "text-anchor": "middle" }, svg).textContent = clock(at);
  }
  const now = Math.round(scale.x(figures.now)) + 0.5;
  if (now < width - 2) element("line", { class: "now", x1: now, x2: now, y1: scale.box.top - 8, y2: scale.box.bottom }, svg);
}

function band(svg, rows, kind, figures, scale) {
  for (const run of runs(rows, figures.step)) {
    const point = (row, column) => `${scale.x(row[0] + figures.step / 2).toFixed(1)} ${scale.y(row[column]).toFixed(1)}`;
    const upper = run.map((row) => point(row, 3));
    const lower = run.map((row) => point(row, 1)).reverse();
    element("path", { class: `band ${kind}`, d: `M${upper.join("L")}L${lower.join("L")}Z` }, svg);
    element("path", { class: `mean ${kind}`, d: `M${run.map((row) => point(row, 2)).join("L")}` }, svg);
  }
}

function draw(plot, figures) {
  const width = plot.clientWidth;
  const height = plot.clientHeight;
  if (!width) return;
  const scale = scales(figures, width, height);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  axes(svg, figures, scale, width);
  band(svg, figures.past, "past", figures, scale);
  band(svg, figures.ahead, "ahead", figures, scale);
  for (const run of runs(figures.actual, figures.step)) {
    // The bin that is still filling is drawn at now, not ahead of it.
    const points = run.map((row) => `${scale.x(Math.min(row[0] + figures.step / 2, figures.now)).toFixed(1)} ${scale.y(row[1]).toFixed(1)}`);
    element("path", { class: "came", d: `M${points.join("L")}${points.length === 1 ? "h1" : ""}` }, svg);
  }
  svg.append(...svg.querySelectorAll("text")); // words stand before the lines they would be crossed by
  const marks = element("g", {}, svg);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  plot.replaceChildren(svg, tip);
  plot.probe = (at) => probe(plot, figures, scale, marks, tip, at);
  plot.scale = scale;
  plot.figures = figures;
  if (chosen.has(plot.id)) plot.probe(chosen.get(plot.id));
}

function rowAt(rows, bin) {
  return rows.find((row) => row[0] === bin);
}

function probe(plot, figures, scale, marks, tip, at) {
  marks.replaceChildren();
  tip.hidden = at === null;
  if (at === null) {
    chosen.delete(plot.id);
    return;
  }
  const bounded = Math.min(Math.max(at, figures.since), scale.end - 1);
  const bin = Math.floor(bounded / figures.step) * figures.step;
  chosen.set(plot.id, bin + figures.step / 2);
  const x = scale.x(bin + figures.step / 2);
  element("line", { class: "hair", x1: x, x2: x, y1: scale.box.top, y2: scale.box.bottom }, marks);
  const came = rowAt(figures.actual, bin);
  const expected = rowAt(figures.ahead, bin) ?? rowAt(figures.past, bin);
  if (expected) element("circle", { class: "spot expected", cx: x, cy: scale.y(expected[2]), r: 3.5 }, marks);
  if (came) element("circle", { class: "spot", cx: x, cy: scale.y(came[1]), r: 3.5 }, marks);
  const line = (name, value) => {
    const row = document.createElement("span");
    const figure = document.createElement("i");
    figure.textContent = value;
    row.append(name, figure);
    return row;
  };
  const title = document.createElement("b");
  title.textContent = `${clock(bin)} to ${clock(bin + figures.step)}`;
  tip.replaceChildren(title);
  if (came || bin < figures.now) tip.append(line("came", came ? format(came[1], figures.unit) : "not seen"));
  if (expected) {
    tip.append(line("expected", format(expected[2], figures.unit)));
    tip.append(line("interval", `${format(expected[1], figures.unit)} to ${format(expected[3], figures.unit)}`));
  }
  const width = tip.offsetWidth;
  const room = plot.clientWidth;
  const left = x + 12 + width > room ? x - 12 - width : x + 12;
  tip.style.left = `${Math.max(0, Math.min(left, room - width))}px`;
}

function listen(plot) {
  const follow = (event) => plot.probe(plot.scale.at(event.clientX - plot.getBoundingClientRect().left));
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", () => plot.probe(null));
  plot.addEventListener("blur", () => plot.probe(null));
  plot.addEventListener("keydown", (event) => {
    const { figures, scale } = plot;
    const here = chosen.get(plot.id) ?? figures.now;
    const moves = { ArrowLeft: here - figures.step, ArrowRight: here + figures.step, Home: figures.since, End: scale.end, PageUp: here - 3600, PageDown: here + 3600 };
    if (event.key === "Escape") plot.probe(null);
    else if (event.key in moves) plot.probe(moves[event.key]);
    else return;
    event.preventDefault();
  });
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.figures && target.scale.box.right !== target.clientWidth) draw(target, target.figures);
});

// Draw every chart below `root`.
export function drawCharts(root) {
  for (const figure of root.querySelectorAll("figure.chart")) {
    const plot = figure.querySelector(".plot");
    draw(plot, JSON.parse(figure.querySelector("script").textContent));
    listen(plot);
    sizes.observe(plot);
  }
}
