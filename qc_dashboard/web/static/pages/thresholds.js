// Thresholds to compare: a chart, and the table that says the same.
import { element } from "./elements.js";
import { percent } from "./figures.js";

const HEIGHT = 220;
const HEADS = ["Promised", "Threshold", "False rejects, 95 %", "Pass", "Review", "Reject", "Good rejected", "Defects passed"];
let plot = null;
let latest = null;

export function showThresholds(table) {
  latest = table;
  const share = (count, of) => (of ? `${percent(count / of)} (${count})` : "–");
  const left = [table.other_models && `${table.other_models} judged by other heads`, table.not_judged && `${table.not_judged} without a score`].filter(Boolean);
  document.getElementById("counted").textContent =
    `Of the last inspections ${table.counted} can be compared${left.length ? `; left out: ${left.join(", ")}` : ""}. ` +
    `Of the frames that people judged in 90 days, ${table.good} are good and ${table.defects} defective. Promises come from ${table.held_out} held-out good frames.`;
  document.getElementById("move-command").textContent = `qc-trainer threshold --line ${table.line} --version ${table.version} --max-false-reject RATE`;
  const rows = table.rows.map((row) => {
    const cells = [
      row.threshold.toPrecision(4),
      `${percent(row.interval[0])} to ${percent(row.interval[1])}`,
      share(row.passed, table.counted),
      share(row.reviewed, table.counted),
      share(row.rejected, table.counted),
      table.good ? `${row.good_rejected} of ${table.good}` : "–",
      table.defects ? `${row.defects_passed} of ${table.defects}` : "–",
    ];
    const name = element("th", { scope: "row" }, `≤ ${percent(row.max_false_reject)}`, row.is_current ? " ◆ present" : "");
    return element("tr", { class: row.is_current ? "current" : "" }, name, ...cells.map((cell) => element("td", { class: "figure" }, cell)));
  });
  const head = element("tr", {}, ...HEADS.map((each, at) => element("th", { scope: "col", class: at ? "figure" : "" }, each)));
  document.getElementById("thresholds").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  draw();
}

function draw() {
  const place = document.getElementById("threshold-chart");
  plot?.destroy();
  plot = null;
  const points = new Map(latest.rows.map((row) => [row.threshold, row]));
  const rows = [...points.values()].sort((one, other) => one.threshold - other.threshold);
  place.hidden = rows.length < 2;
  document.getElementById("threshold-key").textContent = place.hidden
    ? ""
    : "Over the threshold: solid, promised false rejects; dashed, passed of the last frames; vertical line ◆, the present threshold. All in percent.";
  if (place.hidden) return;
  const present = latest.rows.find((row) => row.is_current)?.threshold;
  const passed = rows.map((row) => (latest.counted ? (100 * row.passed) / latest.counted : null));
  const data = [rows.map((row) => row.threshold), rows.map((row) => 100 * row.max_false_reject), passed];
  plot = new uPlot(options(place, present), data, place);
}

function options(place, present) {
  const styles = getComputedStyle(document.body);
  const colour = (name) => resolved(styles.getPropertyValue(name));
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false } };
  const accent = colour("--accent");
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false }, y: { range: [0, 100] } },
    axes: [axis, { ...axis, size: 50 }],
    series: [{}, { stroke: colour("--reject"), width: 3 }, { stroke: colour("--pass"), width: 3, dash: [8, 5] }],
    hooks: { draw: [(drawn) => mark(drawn, present, accent)] },
  };
}

function mark(drawn, present, colour) {
  if (present === undefined) return;
  const { ctx, bbox } = drawn;
  const x = drawn.valToPos(present, "x", true);
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

// A canvas does not know light-dark(): let the browser compute the colour.
function resolved(value) {
  const probe = element("span", { hidden: true });
  document.body.append(probe);
  probe.style.color = value;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

new ResizeObserver(() => {
  const place = document.getElementById("threshold-chart");
  plot?.setSize({ width: place.clientWidth, height: HEIGHT });
}).observe(document.getElementById("threshold-chart"));
document.addEventListener("qc:theme", () => latest && draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => latest && draw());
