// Know this page: an id that survives a reload, and words that were not sent before it.
const ID = "qc-review-session";
const WORDS = "qc-review-words";

// A duplicated tab has a copy of the storage; it must not share leases with its original, so it gets a new id.
export async function openSession(person) {
  let id = read(ID);
  if (!id || !(await held(id))) {
    id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    write(ID, id);
    write(WORDS, null);
    await held(id);
  }
  return { id, words: new KeptWords(person) };
}

// Words stay here until the server has them.
class KeptWords {
  #person;

  constructor(person) {
    this.#person = person;
  }

  // Those of another person who was signed in here before are not ours to send.
  all() {
    return this.#everything().filter(({ person }) => person === this.#person).map(({ word }) => word);
  }

  add(word) {
    write(WORDS, JSON.stringify([...this.#everything(), { person: this.#person, word }]));
  }

  remove(word) {
    const text = JSON.stringify(word);
    write(WORDS, JSON.stringify(this.#everything().filter((kept) => JSON.stringify(kept.word) !== text)));
  }

  #everything() {
    try {
      return JSON.parse(read(WORDS)) ?? [];
    } catch {
      return [];
    }
  }
}

// True if this page alone has the id, until it is closed.
function held(id) {
  if (!navigator.locks) return Promise.resolve(false);
  return new Promise((resolve) => {
    navigator.locks.request(`${ID}-${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    });
  });
}

function read(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null; // storage is switched off: words are kept as long as the page is open
  }
}

function write(name, text) {
  try {
    if (text === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, text);
  } catch {
    // as above
  }
}
