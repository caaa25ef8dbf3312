// The table of matches and near misses, and the same as boxes on the image.

const RULES = {
  threshold: "score too low", "false alarms": "too many false alarms", unlike: "noise does not explain what a copy lacks",
  alike: "no copy", distance: "too near a better one", "side lobe": "side lobe of a better one",
  overlap: "overlaps a better one", count: "more than asked for",
};
const STATES = ["found", "near", "other"];
const SHOWN = { found: ["found"], near: ["found", "near"], all: STATES };
const WORDS = new Set(["status", "label", "kind"]);
const MOST_ROWS = 2000; // that are listed and drawn
const MOST_LABELS = 100; // boxes that have their labels written beside them, where there is room

class Table {
  constructor(about, swatch, onChoose) {
    Object.assign(this, { about, swatch, onChoose, sort: { column: "number", down: false }, rows: [], chosen: null });
    const pose = about.poses ? [["angle", "angle"], ["scale", "scale"]] : [];
    this.columns = [
      ["number", "#"], ["status", "what"], ["label", "label"], ["x", "x"], ["y", "y"], ["width", "width"],
      ["height", "height"], ...pose, ["score", "score"], ["false_alarms", "false alarms"], ["kind", "kind"],
    ];
    for (const [name, title] of this.columns) {
      const button = element("button", { type: "button", onclick: () => this.sortBy(name) }, [title]);
      const head = { scope: "col", "data-column": name, class: WORDS.has(name) ? "words" : "" };
      at("columns").append(element("th", head, [button]));
    }
  }

  // Show what is wanted of a result: matches, near misses or all, of one label or of any.
  show(result, wanted, label) {
    const { image, decided, misses } = result;
    const near = new Set(misses.map((c) => c.index));
    const rows = image.candidates.map((c) => this.rowOf(c, image, decided, near));
    const shown = rows.filter((row) => SHOWN[wanted].includes(row.state) && (label === null || row.label === label));
    const worth = (row) => [STATES.indexOf(row.state), -row.score, row.candidate.index];
    this.rows = shown.length > MOST_ROWS ? sortedBy(shown, worth).slice(0, MOST_ROWS) : shown;
    [this.wanted, this.total] = [shown.length, rows.length];
    this.draw();
  }

  rowOf(c, image, decided, near) {
    const rule = decided.rules[c.index];
    const [x, y, width, height] = boxOf(c, image).map((value) => plainNumber(inUnits(value, this.about.pixel_ratio)));
    const state = rule === "reported" ? "found" : near.has(c.index) ? "near" : "other";
    const status = state === "found" ? "match" : `${state === "near" ? "near miss: " : ""}${RULES[rule]}`;
    const { angle, scale } = c.pose || {};
    return {
      candidate: c, state, status, x, y, width, height, angle, scale, label: c.label, score: c.score,
      false_alarms: c.false_alarms, kind: c.kind || "", number: decided.numbers.get(c.index) ?? null,
    };
  }

  sortBy(column) {
    const down = this.sort.column === column ? !this.sort.down : column === "score";
    this.sort = { column, down };
    this.draw();
  }

  sorted() {
    const { column, down } = this.sort;
    const value = (row) => row[column];
    const unknown = (row) => (value(row) === null || value(row) === undefined ? 1 : 0);
    const state = (row) => STATES.indexOf(row.state);
    return [...this.rows].sort((a, b) => {
      if (column === "number" && state(a) !== state(b)) return state(a) - state(b);
      const last = a.candidate.index - b.candidate.index;
      if (unknown(a) || unknown(b)) return unknown(a) - unknown(b) || b.score - a.score || last;
      const words = typeof value(a) === "string";
      const order = words ? value(a).localeCompare(value(b)) : value(a) - value(b);
      return (down ? -order : order) || last;
    });
  }

  draw() {
    for (const head of at("columns").children) {
      if (head.dataset.column !== this.sort.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
    }
    const focused = document.activeElement?.closest("#rows tr")?.dataset.candidate;
    at("rows").replaceChildren(...this.sorted().map((row) => this.rowElement(row)));
    if (focused !== undefined) this.element(focused)?.querySelector("button").focus();
    const cut = this.wanted > this.rows.length ? `the best ${MOST_ROWS.toLocaleString("en")} of ` : "";
    const recorded = counted(this.total, "candidate", "candidates");
    at("table-note").textContent = this.rows.length
      ? `${cut}${counted(this.wanted, "row", "rows")}; ${recorded} recorded in this image.`
      : "Nothing to show with these limits and filters.";
  }

  rowElement(row) {
    const { candidate, state } = row;
    const shown = {
      status: row.status, x: text(row.x), y: text(row.y), width: text(row.width), height: text(row.height),
      angle: text(row.angle, 2), scale: text(row.scale, 4), score: row.score.toFixed(3),
      false_alarms: row.false_alarms === null ? "" : String(Number(row.false_alarms.toPrecision(2))), kind: row.kind,
    };
    const name = `Show ${row.status}${row.label ? ` of ${row.label}` : ""} at x ${shown.x}, y ${shown.y}`;
    const button = element("button", {
      type: "button", "aria-label": name, onclick: () => this.onChoose(candidate.index, true),
    }, [String(row.number ?? "·")]);
    const cells = this.columns.map(([column]) => {
      if (column === "number") return element("td", {}, [button]);
      if (column === "label") return element("td", { class: "words" }, [this.swatch(row.label), row.label]);
      return element("td", WORDS.has(column) ? { class: `words ${column}` } : {}, [shown[column]]);
    });
    const chosen = candidate.index === this.chosen ? " chosen" : "";
    return element("tr", { class: state + chosen, "data-candidate": candidate.index }, cells);
  }

  element(index) { return at("rows").querySelector(`tr[data-candidate="${index}"]`); }

  choose(index) {
    this.chosen = index;
    for (const row of at("rows").children) row.classList.toggle("chosen", Number(row.dataset.candidate) === index);
  }

  scrollTo(index) {
    const row = this.element(index);
    if (row) row.closest(".scroll").scrollTop = row.offsetTop - row.closest(".scroll").clientHeight / 2;
  }
}

function text(value, digits) {
  if (value === null || value === undefined) return "";
  return Number.isInteger(value) && digits === undefined ? String(value) : value.toFixed(digits ?? 1);
}

function plainNumber(value) { return value instanceof Written ? Number(value.text) : value; }

// Return the box of a candidate in the whole image: left, top, width, height.
function boxOf(candidate, image) {
  const [y, x] = candidate.start.map((s, axis) => s + image.origin[axis]);
  return [x, y, candidate.shape[1], candidate.shape[0]];
}

function cornersOf(x, y, width, height) {
  return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
}

// --- on the image ----------------------------------------------------------------------------------

// Return the boxes of some rows, weakest first, each with its label if there are few.
function boxElements(rows, { image, about, colours, chosen }) {
  const several = about.labels.length > 1;
  const labelled = rows.length <= MOST_LABELS;
  const rank = (row) => (row.candidate.index === chosen ? -1 : STATES.indexOf(row.state));
  const drawn = [...rows].sort((a, b) => rank(b) - rank(a) || a.score - b.score);
  return drawn.map((row) => {
    const isChosen = row.candidate.index === chosen;
    const colour = colours.get(row.label) || "#ffffff";
    const group = boxElement(row, outlineOf(row.candidate, image, about), colour);
    if (isChosen) group.classList.add("chosen");
    if ((labelled && row.state !== "other") || isChosen) {
      const name = several && row.label ? `${row.label} ` : "";
      const [x, y, width, height] = boxOf(row.candidate, image);
      group.append(labelElement(`${name}${row.score.toFixed(2)}`, { x, y, width, height }, colour));
    }
    return group;
  });
}

function outlineOf(c, image, about) {
  if (!c.pose || !(c.outline || c.pose.flip || c.pose.angle)) return cornersOf(...boxOf(c, image));
  return c.pose.corners.map((point) => point.map((value) => value * about.pixel_ratio + 0.5));
}

function boxElement(row, corners, colour) {
  const c = row.candidate;
  const points = corners.map((point) => point.join(",")).join(" ");
  const title = shape("title");
  title.append(`${c.label} ${row.score.toFixed(3)}, ${row.status}`.trim());
  const group = shape("g", { class: row.state, "data-candidate": c.index }, [
    title, shape("polygon", { points, class: "under" }), shape("polygon", { points, class: "box", stroke: colour }),
  ]);
  if (c.outline || (c.pose && (c.pose.flip || c.pose.angle))) { // half of the top side tells how the template lies
    const [a, b] = corners;
    const half = [a, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]].map((point) => point.join(",")).join(" ");
    group.append(shape("polyline", { points: half, class: "side", stroke: colour }));
  }
  return group;
}

function labelElement(words, { x, y, width, height }, colour) {
  const label = shape("text", { fill: colour });
  label.append(words.length > 40 ? `${words.slice(0, 30)}… ${words.split(" ").pop()}` : words);
  label.box = { x, y, width, height };
  return label;
}

// Place labels where they hide no other and no box: above, below, beside or inside; leave out those without room.
function placeLabels(groups, em, part) {
  const labels = groups.map((group) => group.querySelector("text")).filter(Boolean).reverse(); // the best first
  const boxes = labels.map((label) => label.box);
  const taken = [];
  for (const label of labels) {
    const { x, y, width, height } = label.box;
    const size = { width: Math.max(label.textContent.length * 0.6, 1) * em, height: 1.2 * em };
    const gap = 0.25 * em;
    const middle = y + height / 2 - size.height / 2;
    const places = [
      [x, y - size.height - gap], [x, y + height + gap], [x + width + gap, middle], [x - size.width - gap, middle],
      [x + gap, y + gap],
    ];
    const free = ([left, top], i) => {
      const own = { x: left, y: top, ...size };
      const inside = left >= part.x && top >= part.y && left + size.width <= part.x + part.width
        && top + size.height <= part.y + part.height;
      const within = i < 4 || (size.width + gap <= width && size.height + gap <= height);
      return inside && within && !taken.some((other) => meet(own, other))
        && !boxes.some((box) => box !== label.box && meet(own, box));
    };
    const place = places.find(free) || (label.closest(".chosen") && places[1]);
    label.toggleAttribute("hidden", !place);
    label.style.display = place ? "" : "none";
    if (!place) continue;
    label.setAttribute("x", place[0]);
    label.setAttribute("y", place[1] + 0.95 * em);
    taken.push({ x: place[0], y: place[1], ...size });
  }
}

function meet(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
