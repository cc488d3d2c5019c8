// Make elements. Text from topics only ever becomes text, never markup.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function frameAddress(source) {
  return `/history/frame/${encodeURIComponent(source.topic)}/${source.partition}/${source.offset}`;
}

// A frame with its heatmap over it.
export function picture(inspection, { heat = true } = {}) {
  const what = `Frame of ${inspection.camera || "a camera without name"}`;
  const shown = element("span", { class: "picture" });
  shown.append(element("img", { class: "frame", src: inspection.links.frame, alt: what, loading: "lazy" }));
  if (heat) shown.append(element("img", { class: "heat", src: inspection.links.heatmap, alt: "", loading: "lazy" }));
  watchPictures(shown);
  return shown;
}

// Pictures are kept for a while only: say so in their place.
export function watchPictures(root) {
  for (const image of root.querySelectorAll(".picture img")) {
    if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") withdraw(image);
    else image.addEventListener("error", () => withdraw(image), { once: true });
  }
}

function withdraw(image) {
  const owner = image.closest(".picture");
  if (image.classList.contains("heat")) image.remove();
  else if (owner) {
    owner.classList.add("gone");
    owner.replaceChildren("Picture is not kept any more");
  }
}

const DAY_MS = 86_400_000;

// "12:03:10", with the date in front if it is not today.
export function clockTime(time, now = new Date()) {
  const text = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return time.toDateString() === now.toDateString() ? text : `${isoDay(time)} ${text}`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  return ms < 2 * DAY_MS ? `${Math.round(s / 3600)} h` : `${Math.round(ms / DAY_MS)} days`;
}

function isoDay(time) {
  const two = (number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}

// Show times that the server has written in UTC in the time of this place.
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.textContent = `${isoDay(at)} ${clockTime(at, at)}`;
  }
}
