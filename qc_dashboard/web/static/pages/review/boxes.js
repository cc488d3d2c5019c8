// Boxes over the picture, in its own pixels: the model's are a proposal, ours are drawn, moved or confirmed by a person.
const SVG = "http://www.w3.org/2000/svg";
const MOST = 64;
const HANDLE_PX = 14;
const DRAWN_PX = 4;

export class Boxes {
  #boxes;
  #selected = -1;
  #grip = null;
  #changed;

  // `size`: height and width of the image, null if it is not known: then nothing can be drawn.
  constructor(size, found, changed) {
    this.size = size;
    this.#changed = changed;
    this.#boxes = (size ? found : []).map(({ x, y, width, height }) => ({ x, y, width, height, ours: false }));
    this.root = document.createElementNS(SVG, "svg");
    this.root.setAttribute("class", "boxes editor");
    this.root.setAttribute("preserveAspectRatio", "none");
    this.root.setAttribute("aria-hidden", "true");
    if (!size) return;
    this.root.setAttribute("viewBox", `0 0 ${size[1]} ${size[0]}`);
    this.root.addEventListener("pointerdown", (event) => this.#grab(event));
    this.root.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) this.root.addEventListener(name, () => this.#letGo());
    this.draw();
  }

  get count() {
    return this.#boxes.length;
  }

  get selected() {
    return this.#boxes[this.#selected] ?? null;
  }

  get number() {
    return this.#selected + 1;
  }

  // What goes with the word: boxes that a person has drawn, moved or confirmed.
  ours() {
    return this.#boxes.filter(({ ours }) => ours).map(({ x, y, width, height }) => ({ x, y, width, height }));
  }

  confirm() {
    for (const box of this.#boxes) box.ours = true;
    this.draw();
  }

  add() {
    if (!this.size || this.count >= MOST) return;
    const [height, width] = this.size;
    const [w, h] = [Math.max(1, Math.round(width / 5)), Math.max(1, Math.round(height / 5))];
    this.#insert({ x: Math.round((width - w) / 2), y: Math.round((height - h) / 2), width: w, height: h });
  }

  remove() {
    if (!this.selected) return;
    this.#boxes.splice(this.#selected, 1);
    this.select(-1);
  }

  select(index) {
    this.#selected = index >= this.count ? -1 : index;
    this.draw();
  }

  selectNext() {
    if (this.count > 0) this.select((this.#selected + 1) % this.count);
  }

  // Move the selected box by steps, or its lower right corner.
  nudge(dx, dy, { corner }) {
    const step = Math.max(1, Math.round(Math.max(...this.size) / 100));
    const { x, y, width, height } = this.selected;
    if (corner) this.#place({ x, y, width: width + dx * step, height: height + dy * step });
    else this.#place({ x: x + dx * step, y: y + dy * step, width, height });
  }

  draw() {
    const selected = this.selected;
    this.root.classList.toggle("editing", selected !== null);
    this.root.replaceChildren(...this.#boxes.flatMap((box) => this.#rects(box, box === selected)));
    this.#changed();
  }

  #rects(box, selected) {
    const kind = box.ours ? "ours" : "models";
    const rects = [rect(box, "outer"), rect(box, `inner ${kind}`)];
    if (!selected) return rects;
    const [w, h] = [this.#unit("width") * HANDLE_PX, this.#unit("height") * HANDLE_PX];
    const handles = corners(box).map(([x, y]) => rect({ x: x - w / 2, y: y - h / 2, width: w, height: h }, "handle"));
    return [...rects, ...handles];
  }

  #insert(box) {
    this.#boxes.push({ ...box, ours: true });
    this.select(this.count - 1);
  }

  // Put the selected box there, as far as it lies within the image.
  #place({ x, y, width, height }) {
    const [maxHeight, maxWidth] = this.size;
    const w = Math.min(Math.max(1, Math.round(width)), maxWidth);
    const h = Math.min(Math.max(1, Math.round(height)), maxHeight);
    const left = Math.min(Math.max(0, Math.round(x)), maxWidth - w);
    const top = Math.min(Math.max(0, Math.round(y)), maxHeight - h);
    Object.assign(this.selected, { x: left, y: top, width: w, height: h, ours: true });
    this.draw();
  }

  #grab(event) {
    if (event.button !== 0) return;
    const at = this.#point(event);
    const corner = this.selected ? this.#cornerAt(at) : -1;
    if (corner >= 0) {
      const fixed = corners(this.selected)[(corner + 2) % 4];
      this.#grip = { draw: fixed };
    } else {
      const index = this.#boxes.findLastIndex((box) => within(box, at));
      if (index >= 0) {
        this.select(index);
        this.#grip = { move: [at[0] - this.selected.x, at[1] - this.selected.y] };
      } else if (event.pointerType === "touch") {
        this.select(-1); // a finger on the picture scrolls the page; boxes are added by their button
        return;
      } else {
        this.select(-1);
        this.#grip = { start: at };
      }
    }
    event.preventDefault();
    this.root.setPointerCapture(event.pointerId);
  }

  #drag(event) {
    if (!this.#grip) return;
    const at = this.#point(event);
    const { start, draw, move } = this.#grip;
    if (move) {
      const { width, height } = this.selected;
      this.#place({ x: at[0] - move[0], y: at[1] - move[1], width, height });
    } else if (draw) this.#place(between(draw, at));
    else if (this.#isDrawn(start, at) && this.count < MOST) {
      this.#grip = { draw: start };
      this.#insert(between(start, at));
      this.#place(between(start, at));
    }
  }

  #letGo() {
    this.#grip = null;
  }

  #isDrawn([x, y], at) {
    return Math.abs(at[0] - x) > DRAWN_PX * this.#unit("width") && Math.abs(at[1] - y) > DRAWN_PX * this.#unit("height");
  }

  #cornerAt([x, y]) {
    const [w, h] = [this.#unit("width") * HANDLE_PX, this.#unit("height") * HANDLE_PX];
    return corners(this.selected).findIndex(([cx, cy]) => Math.abs(cx - x) < w && Math.abs(cy - y) < h);
  }

  // Pixels of the image for one of the screen.
  #unit(side) {
    const shown = this.root.getBoundingClientRect()[side] || 1;
    return (side === "width" ? this.size[1] : this.size[0]) / shown;
  }

  #point(event) {
    const shown = this.root.getBoundingClientRect();
    const x = (event.clientX - shown.left) * this.#unit("width");
    const y = (event.clientY - shown.top) * this.#unit("height");
    return [Math.min(Math.max(0, x), this.size[1]), Math.min(Math.max(0, y), this.size[0])];
  }
}

function rect({ x, y, width, height }, name) {
  const made = document.createElementNS(SVG, "rect");
  made.setAttribute("class", name);
  for (const [attribute, value] of Object.entries({ x, y, width, height })) made.setAttribute(attribute, value);
  return made;
}

function corners({ x, y, width, height }) {
  return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
}

function within({ x, y, width, height }, [px, py]) {
  return px >= x && px <= x + width && py >= y && py <= y + height;
}

function between([x, y], [x2, y2]) {
  return { x: Math.min(x, x2), y: Math.min(y, y2), width: Math.abs(x2 - x), height: Math.abs(y2 - y) };
}
