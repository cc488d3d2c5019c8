// Send one request after the other, in the order of the keys that were pressed; what could not be sent is tried again.
import { Away, Refused, SignedOut } from "./requests.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 8000;

export class Outbox {
  #tasks = [];
  #working = false;
  #report;

  // `report(error)` says why it waits; `report(null)`: it goes on.
  constructor(report) {
    this.#report = report;
  }

  get waiting() {
    return this.#tasks.length;
  }

  // `run` sends; `refused(error)` is called if trying again cannot help.
  add(run, refused) {
    this.#tasks.push({ run, refused });
    this.#work();
  }

  async #work() {
    if (this.#working) return;
    this.#working = true;
    let pauseMs = FIRST_PAUSE_MS;
    while (this.#tasks.length > 0) {
      const { run, refused } = this.#tasks[0];
      try {
        await run();
        this.#report(null);
        pauseMs = FIRST_PAUSE_MS;
      } catch (error) {
        if (error instanceof Away) {
          this.#report(error);
          await new Promise((resume) => setTimeout(resume, pauseMs));
          pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
          continue;
        }
        if (error instanceof SignedOut) {
          this.#report(error); // the page must be loaded again; words stay stored until then
          return;
        }
        if (!(error instanceof Refused)) console.error(error);
        refused(error);
      }
      this.#tasks.shift();
    }
    this.#working = false;
  }
}
