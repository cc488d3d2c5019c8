// Inspections over time above the gallery: bars by verdict, rejects on a scale of their own, releases as lines.
import { clockTime, element } from "./elements.js";
import { fetched } from "./fetched.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const ALL = { top: 34, height: 96 };
const REJECTS = { top: 142, height: 40 };
const HEIGHT = 184;
const LEAST = 2;
const LABEL = 150; // room that a label needs
const ORDER = ["reject", "review", "error", "no_model", "pass"];
const WORDS = { pass: "pass", reject: "reject", review: "review", error: "error", no_model: "no model" };

class Timeline {
  #place;
  #data;
  #chosen = -1;
  #picked = drawn("rect", { class: "picked", y: ALL.top, height: HEIGHT - ALL.top });

  constructor(place, data) {
    this.#place = place;
    this.#data = data;
    this.since = new Date(data.since).getTime();
    this.until = new Date(data.until).getTime();
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(this.#picked, ...this.#bars(), ...data.marks.map((mark) => this.#line(mark)));
    this.control = element("div", { class: "timeline-chart", role: "slider", tabindex: "0", "aria-label": "Time" });
    this.control.setAttribute("aria-valuemin", "1");
    this.control.setAttribute("aria-valuemax", String(data.buckets.length));
    this.control.append(svg, ...this.#labels());
    this.said = element("p", { class: "timeline-said" });
    const ends = element("p", { class: "timeline-ends" });
    ends.append(element("span", {}, shown(this.since)), element("span", {}, shown(this.until)));
    place.append(this.control, ends, this.said);
    this.control.addEventListener("keydown", (event) => this.#key(event));
    this.control.addEventListener("pointermove", (event) => this.choose(this.#at(event)));
    this.control.addEventListener("click", (event) => this.#open(this.#at(event)));
    this.choose(data.buckets.length - 1);
  }

  choose(index) {
    const { buckets, bucket_s, marks } = this.#data;
    this.#chosen = Math.max(0, Math.min(buckets.length - 1, index));
    const bucket = buckets[this.#chosen];
    const [left, width] = this.#across(bucket);
    this.#picked.setAttribute("x", left);
    this.#picked.setAttribute("width", width);
    const parts = ORDER.filter((name) => bucket.counts[name]).map((name) => `${bucket.counts[name]} ${WORDS[name]}`);
    const [since, until] = [new Date(bucket.since), new Date(bucket.until)];
    const released = marks.filter((mark) => new Date(mark.released_at) >= since && new Date(mark.released_at) < until);
    const names = released.map((mark) => `; ${mark.line}: ${mark.version} (${mark.action})`).join("");
    const text = `${shown(since.getTime())} to ${clockTime(until, bucket_s < 86_400 ? until : new Date(0))}: ${parts.join(", ")}${names}`;
    this.control.setAttribute("aria-valuenow", String(this.#chosen + 1));
    this.control.setAttribute("aria-valuetext", text);
    this.said.textContent = text;
  }

  #across({ since, until }) {
    const left = this.#x(new Date(since).getTime());
    return [left, Math.max(1, this.#x(new Date(until).getTime()) - left)];
  }

  #x(time) {
    return ((time - this.since) / Math.max(1, this.until - this.since)) * WIDTH;
  }

  *#bars() {
    const { buckets } = this.#data;
    const total = ({ counts }) => Object.values(counts).reduce((sum, count) => sum + count, 0);
    const most = Math.max(...buckets.map(total));
    const mostRejects = Math.max(1, ...buckets.map(({ counts }) => counts.reject ?? 0));
    for (const bucket of buckets) {
      const [left, across] = this.#across(bucket);
      const box = { x: left + across * 0.05, width: across * 0.9 };
      let bottom = ALL.top + ALL.height;
      for (const name of ORDER.filter((each) => bucket.counts[each])) {
        const height = Math.max(LEAST, (bucket.counts[name] / most) * ALL.height);
        bottom -= height;
        yield drawn("rect", { ...box, class: `of-${name}`, y: Math.max(ALL.top, bottom), height });
      }
      const rejects = ((bucket.counts.reject ?? 0) / mostRejects) * REJECTS.height;
      yield drawn("rect", { ...box, class: "of-reject", y: REJECTS.top + REJECTS.height - rejects, height: rejects });
    }
  }

  #line(mark) {
    const x = this.#x(new Date(mark.released_at).getTime());
    return drawn("line", { class: "mark", x1: x, x2: x, y1: 22, y2: HEIGHT });
  }

  // Labels are not stretched with the drawing, so they stand beside it; one that would cover another is left out.
  *#labels() {
    let free = 0;
    const wide = this.#place.clientWidth || WIDTH;
    for (const mark of this.#data.marks) {
      const x = (this.#x(new Date(mark.released_at).getTime()) / WIDTH) * wide;
      if (x < free) continue;
      free = x + LABEL;
      const label = element("span", { class: "timeline-label", title: `${mark.line}: ${mark.version}, ${mark.action}` }, mark.version);
      label.style.setProperty("left", `${Math.max(0, Math.min(x, wide - LABEL))}px`);
      yield label;
    }
  }

  #at({ clientX }) {
    const { left, width } = this.control.getBoundingClientRect();
    const time = this.since + ((clientX - left) / width) * (this.until - this.since);
    const distance = ({ since, until }) => Math.abs(time - (new Date(since).getTime() + new Date(until).getTime()) / 2);
    const { buckets } = this.#data;
    return buckets.reduce((best, bucket, index) => (distance(bucket) < distance(buckets[best]) ? index : best), 0);
  }

  #key(event) {
    const last = this.#data.buckets.length - 1;
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10, Home: -last, End: last };
    if (event.key === "Enter" || event.key === " ") this.#open(this.#chosen);
    else if (event.key in steps) this.choose(this.#chosen + steps[event.key]);
    else return;
    event.preventDefault();
  }

  // Narrow the search to a bucket.
  #open(index) {
    const { since, until } = this.#data.buckets[index];
    const query = new URLSearchParams(location.search);
    for (const name of ["cursor", "before"]) query.delete(name);
    query.set("since", since);
    query.set("until", until);
    location.assign(`${location.pathname}?${query}`);
  }
}

export async function showTimeline(place) {
  let data;
  try {
    data = await fetched(place.dataset.timeline);
  } catch {
    return; // the gallery says what is wrong when it is asked for again
  }
  if (data.buckets.length === 0) return;
  place.hidden = false;
  new Timeline(place, data);
}

function shown(time) {
  return clockTime(new Date(time), new Date(0));
}

function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
