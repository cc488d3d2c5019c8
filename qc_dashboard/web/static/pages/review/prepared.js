// Load a frame ahead: picture, heatmap and good frames like it are there before it is shown.
import { element, frameAddress } from "../elements.js";
import { fetched } from "../fetched.js";
import { Boxes } from "./boxes.js";
import { keyOf } from "./requests.js";

const AGAIN_MS = 3000;
const GONE = "The picture is not kept any more. Skip the frame, or judge it unsure.";
const LATER = "The picture cannot be loaded at the moment. It is tried again.";

export class Prepared {
  // `changed(this)`: what is shown of it must be drawn again.
  constructor(frame, changed) {
    this.frame = frame;
    this.key = keyOf(frame.source);
    const { inspection, links } = frame.whole;
    this.size = inspection.image_size;
    this.boxes = new Boxes(this.size, inspection.defects, () => changed(this));
    this.picture = element("img", { class: "frame", alt: this.title, draggable: "false" });
    this.heat = inspection.heatmap_key ? element("img", { class: "heat", alt: "", draggable: "false" }) : null;
    this.sign = element("p", { class: "missing", hidden: true });
    this.root = element("div", { class: "picture review-picture" }, this.picture, this.heat, this.boxes.root, this.sign);
    this.#load(this.picture, `${links.frame}?size=large`);
    this.heat?.addEventListener("error", () => this.heat?.remove(), { once: true });
    this.heat?.setAttribute("src", links.heatmap);
    this.picture.addEventListener("load", () => changed(this));
    this.nearest = this.#nearest();
  }

  get title() {
    const { part, frame_id } = this.frame.whole.inspection;
    return part ? `Part ${part}` : `Frame ${frame_id ?? this.key}`;
  }

  get page() {
    return frameAddress(this.frame.source);
  }

  // Height by width of the picture; null before it is known.
  get aspect() {
    if (this.size) return this.size[0] / this.size[1];
    return this.picture.naturalWidth ? this.picture.naturalHeight / this.picture.naturalWidth : null;
  }

  #load(image, address) {
    image.addEventListener("load", () => this.#say(""));
    image.addEventListener("error", async () => {
      const gone = await fetch(address, { method: "HEAD" }).then(({ status }) => status === 404, () => false);
      this.#say(gone ? GONE : LATER);
      if (!gone) setTimeout(() => this.root.isConnected && image.setAttribute("src", address), AGAIN_MS);
    });
    image.setAttribute("src", address);
    image.decode().catch(() => {}); // decoded ahead; failures have been said above
  }

  #say(sentence) {
    this.sign.textContent = sentence;
    this.sign.hidden = !sentence;
    this.root.classList.toggle("without-picture", Boolean(sentence));
  }

  async #nearest() {
    try {
      const { frames } = await fetched(`${this.frame.whole.links.inspection}/nearest-good`);
      return frames.map((good) => goodFrame(good));
    } catch {
      return null;
    }
  }
}

function goodFrame({ inspection, judged }) {
  const image = element("img", { class: "frame", src: inspection.links.frame, alt: "" });
  const name = inspection.part ? `Part ${inspection.part}` : `Frame ${inspection.frame_id ?? ""}`;
  const words = judged ? "called good by a person" : "passed";
  return element(
    "li",
    {},
    element(
      "a",
      { href: frameAddress(inspection.source), target: "_blank", rel: "noopener" },
      element("span", { class: "picture" }, image),
      element("span", { class: "caption" }, element("strong", {}, name), ` ${words}`),
    ),
  );
}
