// One frame: strength of the heatmap by slider or wheel, boxes on and off, arrows lead to its neighbours, judging.
import { localTimes, watchPictures } from "./elements.js";

const STEP = 5;
const MOST_OF_HEIGHT = 0.75;
const large = document.querySelector(".picture.large");
const slider = document.getElementById("opacity");
const boxes = document.getElementById("boxes");

function showHeat() {
  const heat = large.querySelector(".heat");
  if (heat) heat.style.opacity = slider.value / 100;
}

function fit() {
  const frame = large.querySelector(".frame");
  if (!frame || !frame.height) return;
  large.style.maxWidth = `${Math.round((innerHeight * MOST_OF_HEIGHT * frame.naturalWidth) / (frame.naturalHeight || 1)) || 9999}px`;
}

slider?.addEventListener("input", showHeat);
large.addEventListener(
  "wheel",
  (event) => {
    // With Ctrl the wheel is the browser's zoom.
    if (!slider || event.ctrlKey) return;
    event.preventDefault();
    slider.value = Number(slider.value) - Math.sign(event.deltaY) * STEP;
    showHeat();
  },
  { passive: false },
);
boxes?.addEventListener("change", () => large.querySelector(".boxes")?.toggleAttribute("hidden", !boxes.checked));

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "ArrowLeft") document.querySelector("[data-earlier]")?.click();
  else if (event.key === "ArrowRight") document.querySelector("[data-later]")?.click();
  else if (event.key === "b" && boxes) boxes.click();
});

for (const button of document.querySelectorAll("[data-judge]")) {
  button.addEventListener("click", async () => {
    const buttons = [...document.querySelectorAll("[data-judge]")];
    for (const each of buttons) each.disabled = true;
    const answer = document.getElementById("judged");
    try {
      await qc.send("POST", button.closest("[data-feedback]").dataset.feedback, { verdict: button.dataset.judge });
      answer.textContent = `Kept: ${button.textContent.trim().toLowerCase()}. The last word counts.`;
      document.querySelector("[data-outcomes]")?.dispatchEvent(new Event("qc:judged"));
    } catch (error) {
      answer.textContent = `Not kept: ${error.message}`;
    }
    for (const each of buttons) each.disabled = false;
    button.focus();
  });
}

large.querySelector(".frame").addEventListener("load", fit);
addEventListener("resize", fit);
if (slider) showHeat();
fit();
localTimes(document);
watchPictures(document);
