// Ask the API, and tell apart what can be tried again, what needs a new sign-in, and what was refused for good.
export const BASE = "/api/v1/review";

export class Away extends Error {}
export class SignedOut extends Error {}
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export async function ask(method, path, body, { keepalive = false } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = qc.csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let answer;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), keepalive });
    answer = await response.json();
  } catch {
    throw new Away("The dashboard does not answer.");
  }
  if (response.ok) return answer;
  const sentence = answer?.detail ?? `The server answered ${response.status}.`;
  if (response.status === 401 || response.status === 403) throw new SignedOut(sentence);
  if (response.status >= 500) throw new Away(sentence);
  throw new Refused(response.status, sentence);
}

export function keyOf({ topic, partition, offset }) {
  return `${topic}:${partition}:${offset}`;
}
