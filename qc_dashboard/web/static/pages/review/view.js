// Write what the desk has into the page: the frame and why it is here, kinds as buttons, counts, and what is wrong.
import { clockTime, element, frameAddress } from "../elements.js";

const LEASE_LOST = "your time with it had ended, and somebody else may have it now.";
const by = (id) => document.getElementById(id);

export class View {
  #desk;
  #act = null;
  #problems = new Map();
  #shown = null;
  #free = 0; // frames that this page can still get

  constructor(desk) {
    this.#desk = desk;
  }

  listen(actions) {
    this.#act = actions;
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => actions[button.dataset.act]());
    }
  }

  get isHelpOpen() {
    return by("keys").open;
  }

  help() {
    by("keys").showModal();
  }

  // Show the frame that comes first, or that there is none.
  show() {
    const shown = this.#desk.current;
    this.#shown = shown;
    by("desk").hidden = !shown;
    by("loading").hidden = Boolean(shown) || (this.#desk.left !== null && this.#free <= 0);
    by("empty").hidden = Boolean(shown) || !by("loading").hidden;
    this.#desk.stage.show(shown);
    this.redraw();
    if (!shown) return;
    this.#describe(shown);
    this.#kinds(shown.frame.kinds);
    this.#nearest(shown);
    this.say(`${shown.title}, model says ${shown.frame.verdict}.`);
  }

  redraw() {
    const boxes = this.#shown?.boxes;
    if (!boxes) return;
    this.#desk.stage.draw();
    const ours = boxes.ours().length;
    const drawable = Boolean(boxes.size);
    for (const button of document.querySelectorAll("[data-act=newBox]")) button.disabled = !drawable;
    for (const button of document.querySelectorAll("[data-act=confirmBoxes]")) button.disabled = boxes.count === ours;
    for (const button of document.querySelectorAll("[data-act=removeBox]")) button.disabled = !boxes.selected;
    by("box-words").textContent = boxWords(boxes, ours);
  }

  counted(open, left) {
    by("left").textContent = Math.max(0, open);
    const others = left.leased_by_others;
    this.#free = open - others - left.skipped;
    by("others").textContent = others > 0 ? `${others} of them at other pages` : "";
    by("skipped").hidden = left.skipped === 0;
    by("skipped-words").textContent = `Show the ${left.skipped} that you skipped`;
    by("empty-others").textContent = others > 0 ? `Others look at ${others} at the moment.` : "";
  }

  say(sentence) {
    by("spoken").textContent = sentence;
  }

  // Say something that the person must not miss; it stays until it is closed.
  note(...text) {
    const words = element("p", {}, ...text);
    const known = [...by("notes").querySelectorAll("p")].some((each) => each.textContent === words.textContent);
    if (known) return;
    const close = element("button", { class: "button", type: "button" }, "Understood");
    const note = element("div", { class: "note bad within" }, words, close);
    close.addEventListener("click", () => note.remove());
    by("notes").append(note);
  }

  lost(prepared) {
    const why = " went back to the queue, not judged by you: your time with it had ended, or somebody else has judged it.";
    this.note("Too late: ", this.#link(prepared.title, prepared.page), why);
  }

  notTaken({ source, judgement }, title, error) {
    const why = error.status === 409 ? LEASE_LOST : error.message;
    const page = this.#link(title, frameAddress(source));
    this.note(`“${judgement.kind ?? judgement.verdict}” was not taken for `, page, `: ${why} It can be judged on its page.`);
  }

  away(error, unsent, signedOut) {
    if (!error) return this.#problem("away", null);
    const words = unsent > 0 ? ` ${unsent} of your judgements ${unsent > 1 ? "wait" : "waits"} in this page.` : "";
    const then = signedOut ? "" : " It tries again by itself, nothing is lost.";
    const text = element("p", {}, element("strong", {}, error.message), `${words}${then}`);
    if (signedOut) text.append(" ", element("a", { href: location.href }, "Load the page again"), " to sign in and send them.");
    this.#problem("away", text);
  }

  brokerAway(count) {
    const sentence = `${count} ${count > 1 ? "judgements are" : "judgement is"} stored, and will be sent once the broker answers. Nothing is lost.`;
    this.#problem("broker", count > 0 ? element("p", {}, element("strong", {}, "The broker is away."), ` ${sentence}`) : null);
  }

  #problem(name, text) {
    const before = this.#problems.get(name);
    if (before?.textContent === (text?.textContent ?? undefined)) return;
    before?.remove();
    this.#problems.delete(name);
    if (!text) return;
    text.className = "note bad within";
    this.#problems.set(name, text);
    by("troubles").append(text);
  }

  #link(title, address) {
    return element("a", { href: address, target: "_blank", rel: "noopener" }, title);
  }

  #describe({ title, page, frame }) {
    const { inspection, taken_at, feedback } = frame.whole;
    by("verdict").replaceChildren(qc.verdict(frame.verdict));
    by("title").replaceChildren(this.#link(title, page));
    by("why").textContent = why(frame, inspection);
    const facts = [["Line", inspection.line], ["Camera", inspection.camera], ["Taken", clockTime(new Date(taken_at))], ["Model", inspection.model_version]];
    const shown = facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
    by("facts").replaceChildren(...shown);
    const said = feedback.map(
      ({ verdict, kind, accepted_by, accepted_at }) =>
        `${kind ? `${verdict}: ${kind}` : verdict}, ${accepted_by}, ${clockTime(new Date(accepted_at))}`,
    );
    by("said").replaceChildren(...(said.length ? said : ["Nobody has judged it."]).map((text) => element("li", {}, text)));
  }

  #kinds(kinds) {
    const buttons = kinds.map((kind, index) => {
      const key = index < 9 ? element("kbd", {}, String(index + 1)) : null;
      const button = element("button", { class: "button kind", type: "button" }, key, kind);
      button.addEventListener("click", () => this.#act.kind(index));
      return element("li", {}, button);
    });
    by("kinds").replaceChildren(...buttons);
    by("kinds-part").hidden = kinds.length === 0;
  }

  async #nearest(shown) {
    const place = by("nearest");
    place.replaceChildren();
    by("no-nearest").textContent = "";
    const found = await shown.nearest;
    if (this.#shown !== shown) return;
    place.replaceChildren(...(found ?? []));
    const none = found ? "None is in the archive yet." : "They cannot be loaded at the moment.";
    by("no-nearest").textContent = found?.length ? "" : none;
  }
}

function why({ verdict, share, doubt, said }, { score, threshold }) {
  if (said) return `Judged before, and here again because the last word was taken back.`;
  const scored = score === null ? "" : ` Score ${figure(score)}${threshold === null ? "" : `, rejected above ${figure(threshold)}`}.`;
  if (verdict === "pass") return `A sample: 1 of ${Math.round(1 / share)} passes is offered, so that accepted parts are seen too.${scored}`;
  if (verdict === "review") return `The model asks: it was not sure.${scored}`;
  return `The model rejected it${doubt > 0.9 ? ", but hardly" : ""}.${scored}`;
}

function figure(number) {
  return Number(number.toPrecision(3)).toString();
}

function boxWords(boxes, ours) {
  if (!boxes.size) return "Boxes cannot be drawn: the size of the image is not known.";
  const { selected } = boxes;
  if (selected) {
    const { x, y, width, height } = selected;
    return `Box ${boxes.number} of ${boxes.count}: at ${x}, ${y}, ${width} × ${height} pixels. Arrows move it, with Shift they size it.`;
  }
  const models = boxes.count - ours;
  const yours = ours > 0 ? `${ours > 1 ? `Your ${ours} boxes are` : "Your box is"} sent with “defect”.` : "";
  const what = models > 1 ? `The model's ${models} boxes (dashed) are` : "The model's box (dashed) is";
  const theirs = models > 0 ? `${what} not sent unless you confirm.` : "";
  return [yours, theirs].filter(Boolean).join(" ") || "No boxes. Draw with the mouse, or add one.";
}
