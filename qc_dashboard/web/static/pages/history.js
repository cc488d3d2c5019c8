// The search form: times in the time of this place, and short addresses.
import { localTimes, watchPictures } from "./elements.js";
import { showTimeline } from "./timeline.js";

const form = document.getElementById("search");
const times = [...form.querySelectorAll("input[data-time]")];

for (const input of times) {
  const given = input.dataset.time;
  const at = new Date(given.length === 16 ? `${given}Z` : given);
  if (!Number.isNaN(at.getTime())) {
    input.value = new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }
  form.querySelector(`label[for=${input.id}] [data-zone]`).textContent = "";
}

form.addEventListener("formdata", ({ formData }) => {
  for (const { name, value } of times) {
    if (value) formData.set(name, new Date(value).toISOString());
  }
  const filled = [...formData].filter(([, text]) => text !== "");
  for (const name of new Set([...formData.keys()])) formData.delete(name);
  for (const [name, text] of filled) formData.append(name, text);
});

localTimes(document);
watchPictures(document);
for (const place of document.querySelectorAll("[data-timeline]")) showTimeline(place);
