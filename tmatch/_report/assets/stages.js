// The stages of `decide` in tmatch/_detection/decide.py, in the same order, on recorded candidates.

const SAME_OVERLAP = 0.3;
const NEAR = 10; // false alarms of what may be a match, at most
const MOST_NEAR = 5; // near misses that are listed
const NEARLY = 0.1; // by which a score may be below the threshold
const ROUNDING = 1e-9;

// Compare keys one value after the other, as Python compares tuples.
function compareKeys(a, b) {
  for (let i = 0; i < a.length; i++) {
    const order = Array.isArray(a[i])
      ? compareKeys(a[i], b[i])
      : typeof a[i] === "string" ? compareTexts(a[i], b[i]) : a[i] - b[i];
    if (order) return order;
  }
  return 0;
}

// Compare texts by code points, as Python does: JavaScript compares halves of those beyond 16 bits.
function compareTexts(a, b) {
  if (a === b) return 0;
  const [p, q] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(p.length, q.length); i++) {
    const order = p[i].codePointAt(0) - q[i].codePointAt(0);
    if (order) return order;
  }
  return p.length - q.length;
}

function sortedBy(items, key) {
  const keyed = items.map((item) => [key(item), item]);
  return keyed.sort((a, b) => compareKeys(a[0], b[0])).map((pair) => pair[1]);
}

// --- overlap ---------------------------------------------------------------------------------------

function boxIou(a, b) {
  let shared = 1;
  let areas = [1, 1];
  for (let axis = 0; axis < a.start.length; axis++) {
    const [s, n, t, m] = [a.start[axis], a.shape[axis], b.start[axis], b.shape[axis]];
    shared *= Math.max(0, Math.min(s + n, t + m) - Math.max(s, t));
    areas = [areas[0] * n, areas[1] * m];
  }
  return shared ? shared / (areas[0] + areas[1] - shared) : 0;
}

function cornersOfBox(box) {
  const [row, column] = box.start.map((s, axis) => s + (box.shape[axis] - 1) / 2);
  const [down, right] = box.shape.map((n) => n / 2);
  const corner = (y, x) => [row + y, column + x];
  return [corner(-down, -right), corner(-down, right), corner(down, right), corner(down, -right)];
}

function overlapOf(a, b) {
  if (!a.outline && !b.outline) return boxIou(a, b);
  return outlineIou(a.outline || cornersOfBox(a), b.outline || cornersOfBox(b));
}

function outlineIou(a, b) {
  if (compareKeys(a, b) > 0) [a, b] = [b, a];
  for (const axis of [0, 1]) {
    const [p, q] = [a.map((point) => point[axis]), b.map((point) => point[axis])];
    if (!(Math.min(Math.max(...p), Math.max(...q)) > Math.max(Math.min(...p), Math.min(...q)))) return 0;
  }
  const shared = Math.abs(areaOf(intersectionOf(a, b)));
  const share = shared / (Math.abs(areaOf(a)) + Math.abs(areaOf(b)) - shared);
  return share > ROUNDING ? Math.min(share, 1) : 0;
}

function areaOf(polygon) {
  if (!polygon.length) return 0;
  const [row, column] = polygon[0];
  let sum = 0;
  polygon.forEach((p, i) => {
    const q = polygon[(i + 1) % polygon.length];
    sum += (q[0] - row) * (p[1] - column) - (p[0] - row) * (q[1] - column);
  });
  return sum / 2;
}

function intersectionOf(polygon, window) {
  const sides = areaOf(window) > 0 ? window : [...window].reverse();
  sides.forEach((start, i) => { polygon = cut(polygon, start, sides[(i + 1) % sides.length]); });
  return polygon;
}

function cut(polygon, start, end) {
  const [rows, columns] = [end[0] - start[0], end[1] - start[1]];
  const depths = polygon.map(([y, x]) => (y - start[0]) * columns - (x - start[1]) * rows);
  const kept = [];
  polygon.forEach((p, i) => {
    const next = (i + 1) % polygon.length;
    const [q, here, there] = [polygon[next], depths[i], depths[next]];
    if (here >= 0) kept.push(p);
    if (here < 0 !== there < 0) {
      const share = here / (here - there);
      kept.push([p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])]);
    }
  });
  return kept;
}

// Find which of some candidates, best first, overlap one that is kept too much.
function overlapping(candidates, ordered, maxOverlap) {
  if (!ordered.length || maxOverlap === 1) return [];
  const sides = [0, 1].map((axis) => Math.max(...ordered.map((i) => candidates[i].shape[axis])));
  const cell = (i) => candidates[i].start.map((s, axis) => Math.floor(s / sides[axis]));
  const kept = new Map();
  const removed = [];
  for (const i of ordered) {
    const [y, x] = cell(i);
    let lost = false;
    for (let dy = -1; dy <= 1 && !lost; dy++) {
      for (let dx = -1; dx <= 1 && !lost; dx++) {
        const others = kept.get(`${y + dy},${x + dx}`) || [];
        lost = others.some((k) => overlapOf(candidates[k], candidates[i]) > maxOverlap);
      }
    }
    if (lost) removed.push(i);
    else kept.set(`${y},${x}`, [...(kept.get(`${y},${x}`) || []), i]);
  }
  return removed;
}

// --- the stages ------------------------------------------------------------------------------------

// Return the candidates of an image as objects; they are recorded by columns.
function candidatesOf(image) {
  const candidates = [];
  (image.parts || []).forEach((part, number) => {
    const lobes = new Map();
    for (const [i, k, expected] of part.lobes) {
      if (!lobes.has(i)) lobes.set(i, new Map());
      lobes.get(i).set(k, expected);
    }
    for (let left = part.count; left > 0; left--) {
      const index = candidates.length;
      const candidate = { index, part, number, label: part.label, lobes: lobes.get(index) || new Map() };
      for (const [name, values] of Object.entries(image.columns)) candidate[name] = values[index];
      if (candidate.decision === null) candidate.decision = candidate.score;
      candidates.push(candidate);
    }
  });
  return candidates;
}

// Decide on candidates: return the rule that decided on each, and which match it is.
function decide(candidates, parts, criterion) {
  const rules = candidates.map(() => "reported");
  const remaining = () => candidates.filter((each) => rules[each.index] === "reported");
  const ofPart = (number) => remaining().filter((each) => each.number === number);
  const remove = (which, rule) => which.forEach((i) => { rules[i] = rule; });
  const each = (stage) => parts.forEach((part, number) => stage(ofPart(number), part));
  const order = (byEvidence) => (c) => [byEvidence ? -c.evidence : 0, -c.score, c.start, c.shape, c.label];
  const bestFirst = (byEvidence) => sortedBy(remaining(), order(byEvidence)).map((c) => c.index);

  checkScores(candidates, criterion, remove);
  if (criterion.false_alarms !== null && criterion.must_be_alike) {
    remove(remaining().filter((c) => !c.alike).map((c) => c.index), "unlike");
  }
  if (criterion.copies_only) {
    remove(remaining().filter((c) => c.kind !== "copy").map((c) => c.index), "alike");
  }
  if (criterion.min_distance !== 1) {
    each((left) => remove(tooNear(left, criterion.min_distance), "distance"));
  }
  if (criterion.false_alarms !== null) {
    each((left, part) => {
      if (part.has_null) remove(sideLobes(left, criterion.false_alarms / part.n_tests), "side lobe");
    });
  }
  each((left) => {
    const ordered = sortedBy(left, (c) => [-c.score, c.start]).map((c) => c.index);
    remove(overlapping(candidates, ordered, criterion.max_overlap), "overlap");
  });
  checkStages(candidates, parts, criterion, rules, ofPart);
  if (parts.length > 1) remove(overlapping(candidates, bestFirst(true), criterion.max_overlap), "overlap");
  const ordered = bestFirst(new Set(candidates.map((c) => c.label)).size > 1);
  if (criterion.max_count !== null) remove(ordered.slice(criterion.max_count), "count");
  return { rules, numbers: new Map(ordered.map((i, n) => [i, n + 1])) };
}

function checkScores(candidates, criterion, remove) {
  const allowed = criterion.false_alarms;
  const many = (c) => allowed !== null && c.part.has_null
    && !(c.chance <= allowed / c.part.n_tests && c.decision >= 0);
  remove(candidates.filter(many).map((c) => c.index), "false alarms");
  const low = (c) => criterion.threshold !== null && !(c.score >= criterion.threshold);
  remove(candidates.filter(low).map((c) => c.index), "threshold");
}

function tooNear(left, distance) {
  const kept = [];
  const near = [];
  for (const c of sortedBy(left, (each) => [-each.score])) {
    const close = (k) => Math.max(...c.place.map((p, axis) => Math.abs(p - k.place[axis]))) < distance;
    if (kept.some(close)) near.push(c.index);
    else kept.push(c);
  }
  return near;
}

function sideLobes(left, allowed) {
  const kept = [];
  const lobes = [];
  for (const c of sortedBy(left, (each) => [-each.decision])) {
    const isCopy = c.copy !== null && c.copy <= allowed;
    if (!isCopy && kept.some((k) => c.lobes.get(k) > allowed)) lobes.push(c.index);
    else kept.push(c.index);
  }
  return left.length < 2 ? [] : lobes;
}

function checkStages(candidates, parts, criterion, rules, ofPart) {
  const limit = Math.min(criterion.max_overlap, SAME_OVERLAP);
  const expected = (c) => (c.part.has_null ? c.false_alarms : 0);
  for (let a = 0; a < parts.length; a++) {
    for (let b = a + 1; b < parts.length; b++) {
      if (parts[a].label !== parts[b].label || parts[a].prefilter === parts[b].prefilter) continue;
      const [first, second] = [ofPart(a), ofPart(b)];
      for (const i of first) {
        for (const j of second) {
          const open = rules[i.index] === "reported" && rules[j.index] === "reported";
          if (!open || !(overlapOf(i, j) > limit)) continue;
          rules[(expected(i) <= expected(j) ? j : i).index] = "overlap";
        }
      }
    }
  }
}

// Return the candidates that are matches, as `locate` orders them.
function matchesOf(candidates, decided) {
  const found = candidates.filter((c) => decided.rules[c.index] === "reported");
  return sortedBy(found, (c) => [-c.score, c.start, c.shape, c.label]);
}

// Return up to five candidates that nearly are matches, also those that nearly reach a threshold.
function nearMisses(candidates, decided, criterion) {
  const reported = candidates.filter((c) => decided.rules[c.index] === "reported");
  const rule = (c) => decided.rules[c.index];
  const byScore = criterion.false_alarms === null;
  const many = (c) => rule(c) === "false alarms" && c.fits && c.false_alarms <= NEAR;
  const low = (c) => rule(c) === "threshold" && c.score >= criterion.threshold - NEARLY;
  const near = candidates.filter((c) => ["unlike", "alike"].includes(rule(c)) || many(c) || low(c));
  const key = (c) => [
    byScore ? -c.score : c.false_alarms || 0, rule(c) === "false alarms" ? 1 : 0, c.start,
  ];
  const apart = sortedBy(near, key).filter((c) => !reported.some((r) => boxIou(c, r) > criterion.max_overlap));
  const plain = candidates.map((c) => ({ start: c.start, shape: c.shape }));
  const ordered = apart.map((c) => c.index);
  const lost = new Set(overlapping(plain, ordered, Math.min(criterion.max_overlap, SAME_OVERLAP)));
  return apart.filter((c) => !lost.has(c.index)).slice(0, MOST_NEAR);
}
