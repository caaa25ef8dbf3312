// Matches as CSV and JSON, in the columns and keys of tmatch/_results/formats.

const SCORES = ["score", "false_alarms", "second_best", "expected_score", "kind"];
const POSE_COLUMNS = [
  "angle", "scale", "flip", "center_x", "center_y", "center_x_error", "center_y_error", "angle_error",
  "scale_error",
];

class Written { // a number as Python writes it
  constructor(text) { this.text = text; }
}

// Write a number with a point or an exponent, as Python does.
function pythonFloat(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e16) {
    return `${Object.is(value, -0) ? "-" : ""}${value.toFixed(0)}.0`;
  }
  const [digits, power] = value.toExponential().split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 16) return String(value);
  return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

function float(value) {
  return typeof value === "number" ? new Written(pythonFloat(value)) : value ?? null;
}

// Convert pixels to units of so many pixels, to three digits; halves to even digits.
function inUnits(pixels, ratio) {
  if (pixels === null) return null;
  const exact = pixels / ratio;
  const thousands = exact * 1000;
  const half = Math.abs(thousands % 1) === 0.5;
  const value = half ? (2 * Math.round(thousands / 2)) / 1000 : Number(exact.toFixed(3));
  return Number.isInteger(value) ? value : float(value);
}

// Return a candidate as a row of JSON.
function rowOf(candidate, image, about) {
  const [y, x] = candidate.start.map((s, axis) => s + image.origin[axis]);
  const [height, width] = candidate.shape;
  const sides = [x, y, width, height].map((value) => inUnits(value, about.pixel_ratio));
  const row = { label: candidate.label, x: sides[0], y: sides[1], width: sides[2], height: sides[3] };
  for (const name of SCORES) row[name] = float(candidate[name]);
  return { ...row, ...poseOf(candidate) };
}

function poseOf(candidate) {
  const pose = candidate.pose || candidate;
  if (!pose.corners) return {};
  const { angle, scale, flip, center, corners, errors } = pose;
  return {
    angle: float(angle), scale: float(scale), flip, center: floats(center),
    corners: corners.map((point) => point.map(float)), errors: errors ? floats(errors) : null,
  };
}

function floats(values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, float(value)]));
}

// Return the best position of a label that was not found, as it was recorded; null if it is not known.
function bestRow(best) {
  if (!best) return null;
  const row = { label: best.label };
  for (const name of ["x", "y", "width", "height"]) {
    row[name] = Number.isInteger(best[name]) ? best[name] : float(best[name]);
  }
  for (const name of SCORES) row[name] = float(best[name]);
  return { ...row, ...poseOf(best) };
}

function nearRow(candidate, decided, image, about) {
  const { label, x, y, width, height } = rowOf(candidate, image, about);
  const filtered = candidate.part.prefilter !== "none";
  return {
    label, x, y, width, height,
    score: float(candidate.score), filtered_score: float(filtered ? candidate.decision : null),
    false_alarms: float(candidate.false_alarms), rule: decided.rules[candidate.index],
    ...poseOf(candidate),
  };
}

// --- JSON ------------------------------------------------------------------------------------------

function jsonOf(results, about, criterion) {
  const objects = results.map((result) => jsonText(objectOf(result, about, criterion)));
  if (about.single) return `${objects[0]}\n`;
  return objects.length ? `[\n${objects.join(",\n")}\n]\n` : "[]\n";
}

function objectOf({ image, matches, misses, missing, decided }, about, criterion) {
  const place = { page: image.page, time: float(image.time) };
  if (about.single) for (const name of Object.keys(place)) if (place[name] === null) delete place[name];
  const told = { image: image.image, ...place };
  if (image.error) return { ...told, error: image.error };
  const known = misses.filter((c) => decided.rules[c.index] !== "threshold");
  const decision = decisionOf(image, criterion);
  const near = known.map((c) => nearRow(c, decided, image, about));
  return {
    ...told,
    width: inUnits(image.width, about.pixel_ratio), height: inUnits(image.height, about.pixel_ratio),
    ...decision,
    ...(Object.keys(decision).length || near.length ? { near_misses: near } : {}),
    matches: matches.map((c) => rowOf(c, image, about)),
    missing: missing.map(({ label, best }) => ({ label, best })),
  };
}

function decisionOf(image, criterion) {
  const told = {};
  for (const name of ["false_alarms", "threshold"]) {
    if (criterion[name] !== null) told[name] = float(criterion[name]);
  }
  if (criterion.false_alarms !== null && image.stages) {
    told.stages = image.stages.map(([prefilter, n]) => ({
      prefilter, false_alarms: float(criterion.false_alarms / n),
    }));
  }
  if (image.searched_poses) {
    told.poses = image.searched_poses.map((each) => ({
      ...each, kept: float(each.kept), opened: float(each.opened),
    }));
  }
  return told;
}

// Write JSON as Python does with an indent of two: ASCII, an item a line.
function jsonText(value, indent = "") {
  if (value instanceof Written) return value.text;
  if (typeof value === "string") return jsonString(value);
  if (value === null || typeof value !== "object") return String(value ?? null);
  const deeper = `${indent}  `;
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((item) => jsonText(item, deeper))
    : Object.entries(value).map(([name, item]) => `${jsonString(name)}: ${jsonText(item, deeper)}`);
  const [open, close] = isList ? "[]" : "{}";
  return items.length ? `${open}\n${deeper}${items.join(`,\n${deeper}`)}\n${indent}${close}` : open + close;
}

function jsonString(text) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, escape);
}

// --- CSV -------------------------------------------------------------------------------------------

function csvOf(results, about) {
  const names = [
    "image", "page", "time", "label", "found", "x", "y", "width", "height", ...SCORES,
    ...(about.poses ? POSE_COLUMNS : []), "error",
  ];
  const lines = [names.join(",")];
  for (const result of results) {
    const { image } = result;
    const told = { image: image.image, page: image.page, time: float(image.time), error: image.error };
    for (const row of csvRows(result, about)) {
      lines.push(names.map((name) => csvField({ ...told, ...row }[name])).join(","));
    }
  }
  return `${lines.join("\n")}\n`;
}

function csvRows({ image, matches, missing }, about) {
  if (image.error) return [{}];
  const found = matches.map((c) => {
    const { center, errors, corners, ...row } = rowOf(c, image, about);
    if (!center) return { found: true, ...row };
    const error = (name) => [`${name}_error`, errors ? errors[name] : null];
    return {
      found: true, ...row, center_x: center.x, center_y: center.y,
      ...Object.fromEntries(["center_x", "center_y", "angle", "scale"].map(error)),
    };
  });
  return [...found, ...missing.map(({ label }) => ({ label, found: false }))];
}

function csvField(value) {
  if (value === null || value === undefined) return "";
  if (value === true || value === false) return value ? "True" : "False";
  const text = value instanceof Written ? value.text : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
