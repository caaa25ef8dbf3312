// The limits that can be moved: a score and a number of false alarms, as sliders and as numbers.

const STEPS = 1000; // of a slider
const LEAST_CHANCE = -12; // power of ten: left end of the slider

class Limits {
  // `asked` is the criterion of the search; `onChange` is told the name and the new value of a limit.
  constructor(about, images, asked, onChange) {
    Object.assign(this, { asked, onChange });
    const scores = images.flatMap((image) => image.candidates.map((c) => c.score));
    const known = images.filter((image) => image.limits).map((image) => image.limits);
    const least = known.map((limits) => limits.score).filter((score) => score !== null);
    const most = known.map((limits) => limits.false_alarms).filter((number) => number !== null);
    const [low, high] = about.bounds;
    const bounded = low !== null && high !== null;
    const lowest = scores.reduce((a, b) => Math.min(a, b), bounded ? 1 : Infinity);
    this.isRecordedTo = least.length > 0;
    this.lowest = least.length ? Math.max(...least) : bounded ? Math.max(0, lowest) : lowest;
    this.highest = bounded ? high : scores.reduce((a, b) => Math.max(a, b), this.lowest);
    if (!Number.isFinite(this.lowest)) [this.lowest, this.highest] = [0, 0];
    this.mostChance = most.length ? Math.min(...most) : null;
    this.hasChance = images.some((image) => (image.parts || []).some((part) => part.has_null));
    // Where the search had no limit, the end of a slider is none.
    this.mayLeave = { threshold: asked.threshold === null, chance: asked.false_alarms === null };
    this.build(Boolean(about.criterion));
  }

  build(searched) {
    const names = { threshold: "threshold", chance: "false_alarms" };
    for (const [id, name] of Object.entries(names)) {
      at(id).addEventListener("input", () => this.onChange(name, this.valueAt(id, Number(at(id).value))));
      at(`${id}-value`).addEventListener("change", () => {
        const value = this.typed(id);
        if (value === undefined) this.show(this.shown);
        else this.onChange(name, value);
      });
      at(`${id}-value`).placeholder = "no limit";
    }
    at("chance-limit").hidden = !this.hasChance;
    const left = this.mayLeave.threshold ? "The left end is no limit." : "";
    const down = this.isRecordedTo ? `Recorded down to ${short(this.lowest)}; lower scores cannot come back. ` : "";
    const alone = "Matches and near misses alone were recorded; nothing else can come back. ";
    at("threshold-note").textContent = (searched ? down : alone) + left;
    at("chance-note").textContent = this.mostChance === null
      ? "The right end is no limit." : `Recorded up to ${short(this.mostChance)}; more cannot come back.`;
  }

  show(criterion) {
    this.shown = criterion;
    const values = { threshold: criterion.threshold, chance: criterion.false_alarms };
    for (const [id, value] of Object.entries(values)) {
      at(id).value = this.placeOf(id, value);
      at(id).setAttribute("aria-valuetext", value === null ? "no limit" : short(value));
      at(`${id}-value`).value = value ?? "";
    }
    const { threshold, false_alarms: allowed } = this.asked;
    at("reset").disabled = criterion.threshold === threshold && criterion.false_alarms === allowed;
  }

  // The powers of ten at both ends of the slider of false alarms.
  get powers() {
    const asked = this.asked.false_alarms ? Math.floor(Math.log10(this.asked.false_alarms)) - 3 : 0;
    return [Math.min(LEAST_CHANCE, asked), Math.log10(this.mostChance ?? NEAR)];
  }

  valueAt(id, place) {
    if (this.mayLeave[id] && place === (id === "threshold" ? 0 : STEPS)) return null;
    if (id === "threshold") {
      const value = this.lowest + ((this.highest - this.lowest) * place) / STEPS;
      return Math.min(Math.max(Number(value.toPrecision(6)), this.lowest), this.highest);
    }
    if (place === STEPS) return this.mostChance;
    const [low, high] = this.powers;
    return Number((10 ** (low + ((high - low) * place) / STEPS)).toPrecision(3));
  }

  placeOf(id, value) {
    if (value === null) return id === "threshold" ? 0 : STEPS;
    const [low, high] = id === "threshold" ? [this.lowest, this.highest] : this.powers;
    const share = ((id === "threshold" ? value : Math.log10(value)) - low) / (high - low || 1);
    return Math.min(STEPS, Math.max(0, Math.round(share * STEPS)));
  }

  // Return what was typed, within what was recorded; undefined if it is no limit.
  typed(id) {
    const text = at(`${id}-value`).value.trim();
    const value = Number(text);
    if (!text) return this.mayLeave[id] && !at(`${id}-value`).validity.badInput ? null : undefined;
    if (!Number.isFinite(value) || (id === "chance" && value <= 0)) return undefined;
    if (id === "chance") return this.mostChance === null ? value : Math.min(value, this.mostChance);
    return this.isRecordedTo ? Math.max(value, this.lowest) : value;
  }
}
