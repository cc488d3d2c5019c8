// Keys of the page; `actions` by name. In a text field, a list or with a modifier they are the browser's.
const SIMPLE = {
  g: "good",
  d: "defect",
  u: "unsure",
  s: "skip",
  z: "undo",
  h: "heat",
  b: "boxes",
  n: "newBox",
  a: "confirmBoxes",
  x: "nextBox",
  Delete: "removeBox",
  Escape: "noBox",
  "+": "stronger",
  "-": "weaker",
  "?": "help",
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const JUDGING = new Set(["good", "defect", "unsure", "skip", "undo"]);

export function listen(actions, { isBoxSelected, isOpen }) {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || isOpen()) return;
    const inField = event.target.closest("select, textarea, input:not([type=checkbox], [type=range])");
    if (inField) return;
    if (event.key in ARROWS) arrow(event);
    else if (/^[1-9]$/.test(event.key)) once(event, () => actions.kind(Number(event.key) - 1));
    else {
      const name = SIMPLE[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!name) return;
      if (JUDGING.has(name)) once(event, actions[name]);
      else {
        event.preventDefault();
        actions[name]();
      }
    }
  });

  function arrow(event) {
    const [dx, dy] = ARROWS[event.key];
    if (isBoxSelected()) actions.nudge(dx, dy, { corner: event.shiftKey });
    else if (dy !== 0 && event.target.type !== "range" && !event.shiftKey) (dy < 0 ? actions.stronger : actions.weaker)();
    else return;
    event.preventDefault();
  }
}

// A key that is held down judges one frame, not all of them.
function once(event, act) {
  event.preventDefault();
  if (!event.repeat) act();
}
