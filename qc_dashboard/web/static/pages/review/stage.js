// Show one frame large: strength of the heatmap, boxes on and off, and as large as the window allows.
const STEP = 10;
const WHEEL_STEP = 5;
const MARGIN_PX = 12;
const LEAST_HEIGHT_PX = 240;
const NARROW = matchMedia("(max-width: 64rem)"); // as in review.css: the controls stand elsewhere then
const STRENGTH = "qc-review-heatmap";

export class Stage {
  #place = document.getElementById("stage");
  #slider = document.getElementById("opacity");
  #boxes = document.getElementById("boxes");
  #shown = null;
  #hidden = false;

  constructor() {
    this.#slider.value = kept() ?? this.#slider.value;
    this.#slider.addEventListener("input", () => this.#strengthen(0));
    this.#boxes.addEventListener("change", () => this.draw());
    this.#place.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    addEventListener("resize", () => this.fit());
  }

  show(prepared) {
    this.#shown = prepared;
    this.#hidden = false;
    this.#place.replaceChildren(...(prepared ? [prepared.root] : []));
    this.draw();
  }

  // The picture fits the width of its place and the height that is left below it.
  fit() {
    const aspect = this.#shown?.aspect;
    if (!aspect) return;
    const below = document.getElementById("stage-controls").offsetHeight;
    const left = NARROW.matches ? innerHeight / 2 : innerHeight - this.#top() - below - 2 * MARGIN_PX;
    const height = Math.max(LEAST_HEIGHT_PX, left);
    this.#shown.root.style.width = `${Math.floor(Math.min(this.#place.clientWidth, height / aspect))}px`;
    this.#shown.root.style.aspectRatio = `${1 / aspect}`;
  }

  draw() {
    if (!this.#shown) return;
    const { heat, boxes } = this.#shown;
    if (heat) heat.style.opacity = this.#hidden ? 0 : this.#slider.value / 100;
    boxes.root.toggleAttribute("hidden", !this.#boxes.checked);
    this.#slider.disabled = !heat;
    this.fit();
  }

  stronger(direction) {
    this.#strengthen(direction * STEP);
  }

  toggleHeat() {
    this.#hidden = !this.#hidden;
    this.draw();
  }

  toggleBoxes() {
    this.#boxes.click();
  }

  #strengthen(step) {
    this.#slider.value = Number(this.#slider.value) + step;
    this.#hidden = false;
    keep(this.#slider.value);
    this.draw();
  }

  #wheel(event) {
    // With Ctrl the wheel is the browser's zoom.
    if (event.ctrlKey || !this.#shown?.heat) return;
    event.preventDefault();
    this.#strengthen(-Math.sign(event.deltaY) * WHEEL_STEP);
  }

  #top() {
    return this.#place.getBoundingClientRect().top + scrollY;
  }
}

function kept() {
  try {
    return localStorage.getItem(STRENGTH);
  } catch {
    return null;
  }
}

function keep(strength) {
  try {
    localStorage.setItem(STRENGTH, strength);
  } catch {
    // the strength then holds for this page alone
  }
}
