// The review page: frames are claimed and loaded ahead, keys judge at once, and words are sent in their order.
import { Filters } from "./filters.js";
import { listen } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Prepared } from "./prepared.js";
import { ask, BASE, keyOf, SignedOut } from "./requests.js";
import { openSession } from "./session.js";
import { Side } from "./side.js";
import { Stage } from "./stage.js";
import { View } from "./view.js";

const AHEAD = 3;
const MOST = 16;
const LOOK_MS = 3000;
const RENEW_MS = 15_000;

class Desk {
  frames = []; // the first one is shown
  left = null;
  #leaving = new Map(); // frames whose word or skip is on its way, by key
  #claiming = false;
  #undoing = false;
  #filtered = false;
  #claimedAt = 0;
  #lease_s = 60;

  constructor({ id, words }) {
    this.session = id;
    this.words = words;
    this.stage = new Stage();
    this.view = new View(this);
    this.outbox = new Outbox((error) => this.view.away(error, this.#unsent(), error instanceof SignedOut));
    this.filters = new Filters(() => this.#filter());
    this.side = new Side(id, (count) => this.view.brokerAway(count));
  }

  start() {
    for (const word of this.words.all()) this.#send(word, `frame ${keyOf(word.source)}`);
    this.claim();
    setInterval(() => this.#beat(), 1000);
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.claim());
    document.addEventListener("visibilitychange", () => document.hidden || this.claim());
  }

  get current() {
    return this.frames[0] ?? null;
  }

  judge(verdict, kind = null) {
    const shown = this.#take();
    if (!shown) return;
    const boxes = verdict === "defect" ? shown.boxes.ours() : [];
    const word = { session: this.session, source: shown.frame.source, judgement: { verdict, kind, boxes } };
    this.words.add(word);
    this.#send(word, shown.title);
    this.claim();
  }

  skip() {
    const shown = this.#take();
    if (!shown) return;
    const body = { session: this.session, source: shown.frame.source };
    const done = () => this.#leaving.delete(shown.key);
    this.outbox.add(() => ask("POST", `${BASE}/skip`, body).then(done), done);
    this.claim();
  }

  undo() {
    if (this.#undoing) return;
    this.#undoing = true;
    const end = () => {
      this.#undoing = false;
      this.view.show();
      this.side.judged();
    };
    this.outbox.add(
      async () => {
        const { frame } = await ask("POST", `${BASE}/undo`, { session: this.session });
        this.#front(frame);
        end();
        this.view.say(frame ? "Taken back. Judge the frame again." : "Taken back.");
      },
      (error) => {
        end();
        this.view.note(`Not taken back: ${error.message}`);
      },
    );
    this.claim();
  }

  showSkipped() {
    const refused = (error) => this.view.note(error.message);
    this.outbox.add(() => ask("POST", `${BASE}/unskip`, { session: this.session }), refused);
    this.claim();
  }

  // One claim waits at a time: it renews the leases, fills up what is loaded ahead, and counts what is left.
  claim() {
    if (this.#claiming) return;
    this.#claiming = true;
    this.outbox.add(
      async () => {
        this.#claiming = false;
        const count = Math.min(MOST, Math.max(AHEAD, this.frames.length) + this.#leaving.size);
        const body = { session: this.session, count, ...this.filters.wanted() };
        this.#claimed(await ask("POST", `${BASE}/claim`, body));
      },
      (error) => this.view.note(error.message),
    );
  }

  #claimed({ frames, left, lease_s: lease_s }) {
    const before = this.current;
    const mine = new Map(frames.map((frame) => [keyOf(frame.source), frame]).filter(([key]) => !this.#leaving.has(key)));
    const kept = this.frames.filter(({ key }) => mine.has(key));
    const known = new Set(kept.map(({ key }) => key));
    const fresh = [...mine].filter(([key]) => !known.has(key)).map(([, frame]) => this.#prepared(frame));
    this.frames = [...kept, ...fresh];
    this.left = left;
    this.#lease_s = lease_s;
    this.#claimedAt = performance.now();
    if (before && !this.frames.includes(before) && !this.#filtered && !this.#leaving.has(before.key)) this.view.lost(before);
    this.#filtered = false;
    this.view.counted(left.open - this.#leaving.size, left);
    if (this.current !== before || !before) this.view.show();
  }

  #prepared(frame) {
    return new Prepared(frame, (changed) => changed === this.current && this.view.redraw());
  }

  // Take the shown frame off the desk; the next one is shown at once, for it is loaded already.
  #take() {
    if (this.#undoing || !this.current) return null;
    const shown = this.frames.shift();
    this.#leaving.set(shown.key, shown);
    this.view.show();
    return shown;
  }

  #send(word, title) {
    const key = keyOf(word.source);
    const done = () => {
      this.words.remove(word);
      this.#leaving.delete(key);
    };
    this.outbox.add(
      async () => {
        await ask("POST", `${BASE}/judge`, word, { keepalive: true });
        done();
        this.side.judged();
      },
      (error) => {
        done();
        this.view.notTaken(word, title, error);
      },
    );
  }

  #front(frame) {
    if (!frame) return;
    const key = keyOf(frame.source);
    this.frames = [this.#prepared(frame), ...this.frames.filter((each) => each.key !== key)];
  }

  #filter() {
    this.#filtered = true;
    this.claim();
  }

  #beat() {
    const everyMs = this.current ? Math.min(RENEW_MS, (this.#lease_s * 1000) / 3) : LOOK_MS;
    if (this.outbox.waiting === 0 && performance.now() - this.#claimedAt >= everyMs) this.claim();
  }

  #unsent() {
    return this.words.all().length;
  }

  // Give back what the page has; not while a word is on its way, for it needs its lease.
  #leave() {
    if (this.#leaving.size > 0) return;
    ask("POST", `${BASE}/release`, { session: this.session }, { keepalive: true }).catch(() => {});
  }
}

const session = await openSession(document.getElementById("review").dataset.person);
const desk = new Desk(session);
const { stage, view } = desk;
const actions = {
  good: () => desk.judge("good"),
  defect: () => desk.judge("defect"),
  unsure: () => desk.judge("unsure"),
  skip: () => desk.skip(),
  undo: () => desk.undo(),
  showSkipped: () => desk.showSkipped(),
  kind: (index) => {
    const kind = desk.current?.frame.kinds[index];
    if (kind) desk.judge("defect", kind);
  },
  heat: () => stage.toggleHeat(),
  boxes: () => stage.toggleBoxes(),
  stronger: () => stage.stronger(1),
  weaker: () => stage.stronger(-1),
  newBox: () => desk.current?.boxes.add(),
  confirmBoxes: () => desk.current?.boxes.confirm(),
  nextBox: () => desk.current?.boxes.selectNext(),
  removeBox: () => desk.current?.boxes.remove(),
  noBox: () => desk.current?.boxes.select(-1),
  nudge: (dx, dy, options) => desk.current.boxes.nudge(dx, dy, options),
  help: () => view.help(),
};
listen(actions, { isBoxSelected: () => Boolean(desk.current?.boxes.selected), isOpen: () => view.isHelpOpen });
view.listen(actions);
desk.start();
