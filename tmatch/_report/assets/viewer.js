// The image with its boxes: zoom and pan by changing what part of it is seen.

const SMALLEST = 8; // pixels of the image that are seen at least

class Viewer {
  constructor(frame, canvas, onChoose, onZoom) {
    Object.assign(this, { frame, canvas, onChoose, onZoom });
    this.pointers = new Map();
    this.pixels = shape("image", { preserveAspectRatio: "none" });
    this.boxes = shape("g");
    this.ground = shape("rect", { class: "ground" });
    canvas.append(this.ground, this.pixels, this.boxes);
    this.part = { x: 0, y: 0, width: 1, height: 1 };
    this.groups = [];
    this.listen();
    new ResizeObserver(() => this.resize()).observe(frame);
  }

  // Show a part of an image; `source` is a data URL, or empty.
  show(part, source) {
    this.part = part;
    for (const each of [this.pixels, this.ground]) {
      for (const name of ["x", "y", "width", "height"]) each.setAttribute(name, part[name]);
    }
    if (source) this.pixels.setAttribute("href", source);
    else this.pixels.removeAttribute("href");
    this.frame.style.aspectRatio = `${part.width} / ${part.height}`;
    this.fit();
  }

  draw(groups) {
    this.groups = groups;
    this.boxes.replaceChildren(...groups);
    this.place();
  }

  place() { placeLabels(this.groups, Number(this.boxes.getAttribute("font-size")), this.part); }

  get size() {
    const { clientWidth, clientHeight } = this.frame;
    return [Math.max(clientWidth, 1), Math.max(clientHeight, 1)];
  }

  // Return the part of the image's plane that shows all of it, of the frame's proportions.
  get whole() {
    const [across, down] = this.size;
    const width = Math.max(this.part.width, (this.part.height * across) / down) * 1.02;
    const height = (width * down) / across;
    const [x, y] = [this.part.x + this.part.width / 2, this.part.y + this.part.height / 2];
    return { x: x - width / 2, y: y - height / 2, width, height };
  }

  fit() { this.look({ ...this.whole }); }

  resize() {
    const fitted = !this.seen || !this.frame.classList.contains("zoomed");
    if (fitted) this.fit();
    else this.zoom(1);
  }

  look(seen) {
    const { whole } = this;
    const [across, down] = this.size;
    const width = Math.min(Math.max(seen.width, SMALLEST), whole.width);
    const height = (width * down) / across;
    const within = (at, length, from, total) => (
      length >= total ? from + (total - length) / 2 : Math.min(Math.max(at, from), from + total - length)
    );
    this.seen = {
      x: within(seen.x, width, whole.x, whole.width), y: within(seen.y, height, whole.y, whole.height), width, height,
    };
    const { x, y } = this.seen;
    this.canvas.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
    this.boxes.setAttribute("font-size", (12.5 * width) / across);
    const scale = across / width;
    this.pixels.style.imageRendering = scale >= 2 ? "pixelated" : "auto";
    this.frame.classList.toggle("zoomed", width < whole.width * 0.999);
    this.place();
    this.onZoom(scale);
  }

  // Zoom by a factor; the point of the frame at `at`, its middle by default, stays where it is.
  zoom(factor, at = null) {
    const [across, down] = this.size;
    const [px, py] = at || [across / 2, down / 2];
    const { x, y, width, height } = this.seen;
    const next = Math.min(Math.max(width / factor, SMALLEST), this.whole.width);
    const share = next / width;
    this.look({ x: x + (px / across) * width * (1 - share), y: y + (py / down) * height * (1 - share), width: next });
  }

  move(dx, dy) {
    const scale = this.seen.width / this.size[0];
    this.look({ ...this.seen, x: this.seen.x + dx * scale, y: this.seen.y + dy * scale });
  }

  // Look at a box, with some of what lies around it.
  lookAt({ x, y, width, height }) {
    const [across, down] = this.size;
    const around = Math.max(width, (height * across) / down) * 6;
    const seen = Math.min(this.seen.width, Math.max(around, SMALLEST));
    this.look({ x: x + width / 2 - seen / 2, y: y + height / 2 - (seen * down) / across / 2, width: seen });
  }

  listen() {
    const { frame } = this;
    frame.addEventListener("wheel", (event) => {
      const out = event.deltaY > 0;
      if (out && !frame.classList.contains("zoomed")) return; // the page scrolls on
      event.preventDefault();
      this.zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) * 0.003), this.at(event));
    }, { passive: false });
    frame.addEventListener("keydown", (event) => this.press(event));
    frame.addEventListener("pointerdown", (event) => this.pointers.set(event.pointerId, this.at(event)));
    frame.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      frame.addEventListener(name, (event) => {
        this.pointers.delete(event.pointerId);
        frame.classList.toggle("held", this.pointers.size > 0 && this.dragged);
      });
    }
    frame.addEventListener("click", (event) => {
      const box = event.target.closest("[data-candidate]");
      if (box && !this.dragged) this.onChoose(Number(box.dataset.candidate));
    });
    frame.addEventListener("dblclick", (event) => this.zoom(2, this.at(event)));
  }

  at(event) {
    const frame = this.frame.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) { this.dragged = false; return; }
    const now = this.at(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId);
    if (other) { // two fingers
      const apart = (point) => Math.hypot(point[0] - other[1][0], point[1] - other[1][1]) || 1;
      this.zoom(apart(now) / apart(before), other[1]);
    } else {
      if (Math.hypot(now[0] - before[0], now[1] - before[1]) < 3 && !this.dragged) return;
      if (!this.frame.hasPointerCapture(event.pointerId)) this.frame.setPointerCapture(event.pointerId);
      this.dragged = true;
      this.frame.classList.add("held");
      this.move(before[0] - now[0], before[1] - now[1]);
    }
    this.pointers.set(event.pointerId, now);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const keys = {
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.fit(),
      ArrowLeft: () => this.move(-step, 0), ArrowRight: () => this.move(step, 0),
      ArrowUp: () => this.move(0, -step), ArrowDown: () => this.move(0, step),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
