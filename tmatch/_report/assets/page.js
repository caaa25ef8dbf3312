// The page: what was recorded, decided on with the limits of the sliders, as an image, a table and files.

const MOST_MISSING = 8; // that are listed at once
const PLAIN = { // the criterion where matches alone were recorded
  threshold: null, false_alarms: null, max_count: null, max_overlap: 1, min_distance: 1, copies_only: false,
  must_be_alike: true, prefilter: "auto",
};

class Report {
  constructor() {
    const read = (kind) => [...document.querySelectorAll(`script[data-tmatch="${kind}"]`)];
    [this.about] = read("about").map((block) => JSON.parse(block.textContent));
    this.images = read("image").map((block) => JSON.parse(block.textContent));
    this.pixels = read("pixels");
    for (const image of this.images) {
      image.candidates = candidatesOf(image);
      image.origin ??= [0, 0];
    }
    this.names = namesOf(this.images);
    this.asked = { ...PLAIN, ...(this.about.criterion || {}) };
    this.criterion = { ...this.asked };
    const { labels, colours } = this.about;
    this.colours = new Map(labels.map((label, n) => [label, colours[n % colours.length]]));
    this.best = null; // the best position of a missing label, where that is looked at
    this.decide();
    this.order = sortedBy([...this.images.keys()], (i) => [
      this.images[i].error ? 0 : 1, -this.results[i].missing.length, i,
    ]);
    document.querySelector("main").hidden = false;
    this.build();
    this.open(this.order[0] ?? 0);
  }

  // --- deciding ------------------------------------------------------------------------------------

  decide() {
    this.results = this.images.map((image) => {
      const { candidates } = image;
      const decided = decide(candidates, image.parts || [], this.criterion);
      const matches = matchesOf(candidates, decided);
      const found = new Set(matches.map((match) => match.label));
      const missing = image.error ? [] : image.labels.filter((label) => !found.has(label));
      image.lacking ??= new Set(missing); // with the limits that were asked for
      return {
        image, decided, matches, missing: missing.map((label) => ({ label, ...this.bestOf(image, label) })),
        misses: nearMisses(candidates, decided, this.criterion),
      };
    });
  }

  // Return where a label fits best, if that is known: as a row of files, and as a box.
  bestOf(image, label) {
    const known = Object.hasOwn(image.best, label) ? image.best[label] : null;
    if (known) return { best: bestRow(known), box: known.box, score: known.score };
    const own = image.candidates.filter((c) => c.label === label);
    if (!own.length) return { best: null, box: null, score: null };
    const [c] = sortedBy(own, (each) => [-each.score, each.start, each.shape]);
    const best = image.lacking.has(label) ? null : rowOf(c, image, this.about);
    return { best, box: boxOf(c, image), score: c.score };
  }

  set(limits) {
    Object.assign(this.criterion, limits);
    this.decide();
    this.update();
  }

  // --- building once -------------------------------------------------------------------------------

  build() {
    this.limits = new Limits(this.about, this.images, this.asked, (name, value) => this.set({ [name]: value }));
    this.table = new Table(this.about, (label) => this.swatch(label), (index) => this.choose(index, true));
    this.viewer = new Viewer(at("viewer"), at("canvas"), (index) => this.choose(index, false), (scale) => {
      at("zoom-level").textContent = `${Math.round(scale * 100)} %`;
    });
    this.buildImages();
    this.buildFilters();
    this.buildSought();
    const actions = {
      "zoom-in": () => this.viewer.zoom(1.5),
      "zoom-out": () => this.viewer.zoom(1 / 1.5),
      "zoom-fit": () => this.viewer.fit(),
      reset: () => this.set({ threshold: this.asked.threshold, false_alarms: this.asked.false_alarms }),
      "missing-more": () => { this.allMissing = true; this.showMissing(); },
      "save-csv": () => this.save("csv", csvOf(this.results, this.about)),
      "save-json": () => this.save("json", jsonOf(this.results, this.about, this.criterion)),
    };
    for (const [id, action] of Object.entries(actions)) at(id).addEventListener("click", action);
  }

  buildImages() {
    if (this.images.length < 2) return;
    at("images").hidden = false;
    at("desk").classList.add("several");
    at("image-list").append(...this.order.map((i) => (
      element("li", {}, [element("button", { type: "button", "data-image": i, onclick: () => this.open(i) })])
    )));
  }

  buildFilters() {
    const options = this.about.labels.map((label, n) => new Option(label || "(no label)", String(n)));
    at("label-filter").append(new Option("all", ""), ...options);
    at("label-filter").closest("label").hidden = options.length < 2;
    for (const id of ["label-filter", "show-filter"]) at(id).addEventListener("change", () => this.update());
    at("plot-part").addEventListener("change", () => this.showPlot());
  }

  buildSought() {
    at("templates").append(...this.about.templates.map((each) => {
      const longest = Math.max(each.width, each.height);
      const scale = longest > 120 ? 120 / longest : Math.max(1, Math.floor(Math.min(3, 64 / longest)));
      const [width, height] = [each.width, each.height].map((side) => Math.max(1, Math.round(side * scale)));
      const size = element("span", { class: "quiet" }, [` ${each.width} × ${each.height}`]);
      const image = element("img", { src: each.pixels, alt: "", width, height });
      return element("li", {}, [image, this.swatch(each.label), each.label, size]);
    }));
    const more = this.about.n_templates - this.about.templates.length;
    if (more > 0) at("templates").append(element("li", {}, [`and ${more} more`]));
    for (const [name, value] of this.about.options) {
      at("options").append(element("dt", {}, [name]), element("dd", {}, [value]));
    }
    at("sought").hidden = !this.about.templates.length && !this.about.options.length;
  }

  swatch(label) {
    const made = element("i", { class: "swatch", "aria-hidden": "true" });
    made.style.background = this.colours.get(label) || "#ffffff";
    return made;
  }

  // --- showing -------------------------------------------------------------------------------------

  open(index) {
    this.current = index;
    this.best = null;
    const image = this.images[index];
    const failed = !image || Boolean(image.error);
    at("image-name").textContent = image ? image.name || "Image" : "No image was searched";
    at("image-error").hidden = !image?.error;
    at("image-error").textContent = image?.error ? `Not searched: ${image.error}` : "";
    for (const id of ["viewer", "zoom", "image-note", "table", "scores"]) at(id).hidden = failed;
    this.table.choose(null);
    if (!failed) {
      const source = this.pixels[index].textContent;
      this.viewer.show(image.shown, source);
      at("image-note").textContent = this.noteOf(image, source);
      const names = image.parts.map(({ label, prefilter }) => (
        [label, prefilter === "none" ? "" : `${prefilter}ed`].filter(Boolean).join(", ") || "the template"
      ));
      at("plot-part").replaceChildren(...names.map((name, i) => new Option(name, String(i))));
      at("plot-choice").hidden = names.length < 2;
      this.plotLabel(this.results[index].missing[0]?.label);
    }
    this.update();
  }

  // Choose the histogram of a label, if it has one.
  plotLabel(label) {
    const number = this.images[this.current].parts.findIndex((part) => part.label === label);
    if (number >= 0) at("plot-part").value = String(number);
  }

  noteOf(image, source) {
    const { width, height, factor } = image.shown;
    const isPart = image.width && (width < image.width || height < image.height);
    const size = `${width} × ${height} pixels${isPart ? `, a part of ${image.width} × ${image.height}` : ""}`;
    if (!source) return `${size}. The image was not given: boxes lie on an empty ground.`;
    return factor > 1 ? `${size}, shown ${factor} times smaller.` : `${size}, shown as it is.`;
  }

  // Show all anew, once for however many changes come before the next frame.
  update() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.limits.show(this.criterion);
      this.showCounts();
      this.showMissing();
      this.showImages();
      if (this.images[this.current] && !this.images[this.current].error) {
        const label = at("label-filter").value;
        const wanted = label === "" ? null : this.about.labels[Number(label)];
        this.table.show(this.results[this.current], at("show-filter").value, wanted);
        this.showBoxes();
        this.showPlot();
      }
      if (!document.body.dataset.ready) performance.mark("ready");
      document.body.dataset.ready = "true";
    });
  }

  showCounts() {
    const sum = (count) => this.results.reduce((total, each) => total + count(each), 0);
    const [found, missing] = [sum((each) => each.matches.length), sum((each) => each.missing.length)];
    const failed = sum((each) => (each.image.error ? 1 : 0));
    const images = this.images.length === 1 ? "" : ` in ${counted(this.images.length, "image", "images")}`;
    const parts = [counted(found, "match", "matches") + images];
    if (missing) parts.push(`${missing.toLocaleString("en")} not found`);
    if (failed) parts.push(`${counted(failed, "image", "images")} not searched`);
    const told = parts.join(", ");
    if (at("count").textContent !== told) at("count").textContent = told; // which is read aloud
    document.title = `tmatch report: ${told}`;
  }

  showMissing() {
    const all = this.order.flatMap((index) => this.results[index].missing.map((each) => ({ ...each, index })));
    const most = matchMedia("(max-width: 600px)").matches ? MOST_MISSING / 2 : MOST_MISSING;
    const shown = this.allMissing ? all : all.slice(0, most);
    at("missing").hidden = !all.length;
    at("missing-list").replaceChildren(...shown.map((each) => this.missingItem(each)));
    at("missing-more").hidden = shown.length === all.length;
    at("missing-more").textContent = `Show all ${all.length}`;
  }

  missingItem({ label, index, box, score }) {
    const name = label || "the template";
    const where = this.images.length > 1 ? ` in ${this.names[index]}` : "";
    const told = score === null || score === undefined ? "" : ` (best score ${score.toFixed(2)})`;
    const item = element("li", {}, [element("span", {}, [element("b", {}, [name]), where, told])]);
    if (box) {
      const about = { type: "button", "aria-label": `Show the best position of ${name}${where}` };
      item.append(element("button", { ...about, onclick: () => this.lookAtBest(index, label, box) }, ["Show"]));
    }
    return item;
  }

  lookAtBest(index, label, [x, y, width, height]) {
    if (index !== this.current) this.open(index);
    this.plotLabel(label);
    this.best = cornersOf(x, y, width, height);
    this.table.choose(null);
    this.update();
    this.viewer.lookAt({ x, y, width, height });
    at("viewer").scrollIntoView({ block: "nearest" });
  }

  showImages() {
    for (const button of at("image-list").querySelectorAll("button")) {
      const i = Number(button.dataset.image);
      const { image, matches, missing } = this.results[i];
      const labels = missing.map(({ label }) => label || "the template").join(", ");
      const lack = image.error ? "not searched" : labels && `not found: ${labels}`;
      const count = image.error ? [] : [element("small", {}, [counted(matches.length, "match", "matches")])];
      button.replaceChildren(this.names[i], ...count, ...(lack ? [element("small", { class: "lack" }, [lack])] : []));
      button.setAttribute("aria-current", String(i === this.current));
    }
  }

  choose(index, look) {
    const image = this.images[this.current];
    this.best = null;
    this.table.choose(index);
    this.showBoxes();
    if (!look) {
      this.table.scrollTo(index);
      return;
    }
    const [x, y, width, height] = boxOf(image.candidates[index], image);
    this.viewer.lookAt({ x, y, width, height });
    at("viewer").scrollIntoView({ block: "nearest" });
  }

  showBoxes() {
    const image = this.images[this.current];
    const { rows, chosen } = this.table;
    const drawn = boxElements(rows, { image, about: this.about, colours: this.colours, chosen });
    if (this.best) {
      const points = this.best.map((point) => point.join(",")).join(" ");
      const lines = [{ class: "under" }, { class: "box", stroke: "#ff8a80" }];
      drawn.push(shape("g", { class: "near chosen" }, lines.map((line) => shape("polygon", { points, ...line }))));
    }
    this.viewer.draw(drawn);
    const found = rows.filter((row) => row.state === "found").length;
    const told = `${image.name || "Image"} with ${counted(found, "match", "matches")}, which the table lists`;
    at("canvas").setAttribute("aria-label", told);
  }

  showPlot() {
    const image = this.images[this.current];
    const number = Number(at("plot-part").value || 0);
    const own = image.candidates.filter((c) => c.number === number);
    const chance = image.chance[number];
    const empty = !image.parts[number] || (!chance && !own.length);
    at("scores").hidden = empty;
    if (empty) return;
    const plot = plotOf(image.parts[number], chance, own, this.criterion, this.about.bounds);
    const drawn = drawPlot(plot);
    const total = counted(plot.peaks.reduce((a, b) => a + b, 0), "peak", "peaks");
    drawn.setAttribute("aria-label", `Histogram of the scores of ${total}, accepted from about ${short(plot.limits[1])} on`);
    at("plot").replaceChildren(drawn);
    for (const item of at("legend").querySelectorAll(".of-null")) item.hidden = !plot.minima;
  }

  save(ending, written) {
    const type = ending === "csv" ? "text/csv" : "application/json";
    const url = URL.createObjectURL(new Blob([written], { type }));
    const link = element("a", { href: url, download: `matches.${ending}` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}

// Return the names of images without the folder that all of them lie in.
function namesOf(images) {
  const folders = images.map(({ name }) => name.slice(0, name.lastIndexOf("/") + 1));
  let shared = images.length > 1 ? folders[0] : "";
  while (!folders.every((folder) => folder.startsWith(shared))) {
    shared = shared.slice(0, shared.lastIndexOf("/", shared.length - 2) + 1);
  }
  return images.map(({ name }) => name.slice(shared.length));
}

new Report();
