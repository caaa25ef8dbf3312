// The histogram of scores, their null distribution, and which of them are accepted.

const POWER = 0.8; // of evidence, as in tmatch/_detection/null/tails.py
const MAX_SCORE = 1 - 1e-9;
const PLOT = { width: 340, height: 190, left: 34, right: 10, top: 10, bottom: 34 };

// Return how many peaks are expected by chance at a score or above, among scores of some variance.
function expectedAt(chance, score, variance) {
  const r = Math.min(Math.max(score, 0), MAX_SCORE);
  const v = Math.min(Math.max(variance, 1e-9), 0.999);
  const evidence = -Math.log1p(-r * r) * ((1 - v) / (2 * v));
  if (chance.fitted) {
    const { k, start, scale } = chance.fitted;
    const beyond = (evidence ** POWER - start) / scale;
    const above = (1 + Math.max(beyond, 0) / k) ** -k;
    return (k / 2) * above * Math.exp(Math.min(Math.max(-beyond, 0), 50));
  }
  const { positions, pixels } = chance.analytic;
  return (positions / 2) * betaShare(Math.exp(-2 * evidence), (pixels - 1) / 2, 0.5);
}

// Return the score at which so many are expected; 1 if perhaps none has as few.
function scoreFor(chance, allowed, variance) {
  let [low, high] = [0, 1];
  if (expectedAt(chance, high, variance) > allowed) return 1;
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (expectedAt(chance, middle, variance) > allowed) low = middle;
    else high = middle;
  }
  return high;
}

// The regularised incomplete beta function, by its continued fraction.
function betaShare(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b));
  if (x > (a + 1) / (a + b + 2)) return 1 - (front / b) * betaFraction(1 - x, b, a);
  return (front / a) * betaFraction(x, a, b);
}

function betaFraction(x, a, b) {
  let [c, d] = [1, 1 / Math.max(1 - ((a + b) * x) / (a + 1), 1e-300)];
  let result = d;
  for (let m = 1; m < 200; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    for (const factor of [even, odd]) {
      d = 1 / (1 + factor * d || 1e-300);
      c = 1 + factor / c || 1e-300;
      result *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-12) break;
  }
  return result;
}

function logBeta(a, b) { return logGamma(a) + logGamma(b) - logGamma(a + b); }

function logGamma(x) {
  if (x < 7) return logGamma(x + 1) - Math.log(x);
  const series = 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5) - 1 / (1680 * x ** 7);
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + series;
}

// --- drawing ---------------------------------------------------------------------------------------

// Return what is drawn: bins of scores with counts, curves, and from which score on peaks are accepted.
function plotOf(part, chance, candidates, criterion, bounds) {
  if (!chance) return plainPlot(candidates, criterion, bounds);
  const bins = 50;
  const counts = (values) => Array.from({ length: bins }, (_, i) => values[i] || 0);
  const [low, median, high] = chance.variances;
  const curve = [];
  const peaks = chance.peaks.reduce((a, b) => a + b, 0);
  for (let i = 0; i < bins; i++) {
    const here = expectedAt(chance, i / bins, median);
    const next = i === bins - 1 ? 0 : expectedAt(chance, (i + 1) / bins, median);
    const begun = chance.fitted ? here <= chance.fitted.k / 2 : here <= peaks;
    curve.push(begun ? Math.max(here - next, 1e-9) : null);
  }
  const filtered = part.prefilter !== "none";
  const floor = criterion.threshold !== null && !filtered ? criterion.threshold : 0;
  let limits = [floor, floor, floor];
  if (criterion.false_alarms !== null) {
    const allowed = criterion.false_alarms / part.n_tests;
    limits = [low, median, high].map((v) => Math.max(scoreFor(chance, allowed, v), floor));
  }
  return { range: [0, 1], peaks: counts(chance.peaks), minima: counts(chance.minima), curve, limits, filtered };
}

// Without a null distribution: the candidates that were recorded, and the threshold.
function plainPlot(candidates, criterion, [low, high]) {
  const scores = candidates.map((c) => c.score);
  const isUnit = low !== null && high !== null;
  const least = Math.min(...scores, criterion.threshold ?? Infinity, isUnit ? 0 : Infinity);
  const most = Math.max(...scores, criterion.threshold ?? -Infinity, isUnit ? high : -Infinity);
  const range = most > least ? [least, most] : [least - 0.5, least + 0.5];
  const bins = 50;
  const peaks = new Array(bins).fill(0);
  for (const s of scores) peaks[Math.min(bins - 1, Math.floor(((s - range[0]) / (range[1] - range[0])) * bins))]++;
  const floor = criterion.threshold ?? range[0];
  return { range, peaks, minima: null, curve: [], limits: [floor, floor, floor], filtered: false };
}

function drawPlot(plot) {
  const { width, height, left, right, top, bottom } = PLOT;
  const highest = Math.max(2, ...plot.peaks, ...(plot.minima || []));
  const top10 = Math.log10(highest * 1.5);
  const low10 = -0.5; // so that a single peak has a bar
  const x = (score) => {
    const share = (score - plot.range[0]) / (plot.range[1] - plot.range[0]);
    return left + Math.min(Math.max(share, 0), 1) * (width - left - right);
  };
  const y = (count) => {
    const share = (Math.log10(Math.max(count, 1e-9)) - low10) / (top10 - low10);
    return height - bottom - Math.min(Math.max(share, 0), 1) * (height - top - bottom);
  };
  const edge = (i) => plot.range[0] + ((plot.range[1] - plot.range[0]) * i) / plot.peaks.length;
  const base = height - bottom;
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  drawn.append(...regions(plot, x, top, base));
  plot.peaks.forEach((count, i) => {
    if (!count) return;
    const box = { x: x(edge(i)), y: y(count), width: Math.max(1, x(edge(i + 1)) - x(edge(i)) - 1) };
    drawn.append(shape("rect", { ...box, height: base - y(count), class: "bar" }));
  });
  if (plot.minima) drawn.append(shape("path", { d: steps(plot.minima, x, y, edge, base), class: "minima" }));
  drawn.append(shape("path", { d: curveOf(plot, x, y, edge, base), class: "tail" }));
  drawn.append(...axes(plot, x, y, highest, base));
  return drawn;
}

function regions(plot, x, top, base) {
  const [first, middle, last] = plot.limits.map((limit) => x(limit));
  const [from, to] = [Math.min(first, last), Math.max(first, last)];
  const high = { y: top, height: base - top };
  const end = PLOT.width - PLOT.right;
  return [
    shape("rect", { ...high, x: from, width: Math.max(0, to - from), class: "perhaps" }),
    shape("rect", { ...high, x: to, width: Math.max(0, end - to), class: "accepted" }),
    shape("line", { x1: middle, x2: middle, y1: top, y2: base, class: "limit" }),
  ];
}

function steps(counts, x, y, edge, base) {
  const last = counts.reduce((found, count, i) => (count ? i : found), -1);
  let path = `M${x(edge(0))} ${base}`;
  for (let i = 0; i <= last; i++) {
    const level = counts[i] ? y(counts[i]) : base;
    path += `L${x(edge(i))} ${level}L${x(edge(i + 1))} ${level}`;
  }
  return last < 0 ? "" : `${path}L${x(edge(last + 1))} ${base}`;
}

function curveOf(plot, x, y, edge, base) {
  let path = "";
  plot.curve.forEach((value, i) => {
    if (value === null) return;
    const level = y(value);
    if (path && level >= base) return;
    path += `${path ? "L" : "M"}${(x(edge(i)) + x(edge(i + 1))) / 2} ${level}`;
  });
  return path;
}

function axes(plot, x, y, highest, base) {
  const drawn = [shape("line", { x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: base, y2: base, class: "axis" })];
  for (let i = 0; i <= 5; i++) {
    const score = plot.range[0] + ((plot.range[1] - plot.range[0]) * i) / 5;
    const text = shape("text", { x: x(score), y: base + 14, "text-anchor": "middle" });
    text.append(short(score));
    drawn.push(text);
  }
  for (let count = 1; count <= highest * 1.5; count *= 10) {
    const text = shape("text", { x: PLOT.left - 5, y: y(count) + 4, "text-anchor": "end" });
    text.append(count < 1000 ? String(count) : `${count / 1000}k`);
    const line = { x1: PLOT.left - 3, x2: PLOT.left, y1: y(count), y2: y(count), class: "axis" };
    drawn.push(text, shape("line", line));
  }
  const name = shape("text", { x: (PLOT.left + PLOT.width - PLOT.right) / 2, y: base + 29, "text-anchor": "middle" });
  name.append(plot.filtered ? "score in the filtered image" : "score");
  return [...drawn, name];
}
