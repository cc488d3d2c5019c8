// What every page needs: the token on writes, refusals in words, verdicts as elements.
(() => {
  "use strict";
  const SPRITE = new URL("verdicts.svg", document.currentScript.src).pathname;
  const WORDS = { pass: "Pass", reject: "Reject", review: "Review", error: "Error", no_model: "No model" };

  function csrfToken() {
    return document.querySelector("meta[name=csrf-token]").content;
  }

  // Send a write; refused ones throw an Error with the server's sentence.
  async function send(method, path, body) {
    const headers = { "X-CSRF-Token": csrfToken(), Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const is_json = (response.headers.get("Content-Type") || "").includes("json");
    const answer = is_json ? await response.json() : null;
    if (!response.ok) throw new Error((answer && answer.detail) || `The server answered ${response.status}.`);
    return answer;
  }

  // Show a sentence at the foot of the page; screen readers say it.
  function say(text) {
    const notice = document.getElementById("notice");
    notice.textContent = text;
    notice.hidden = !text;
  }

  // Make the element that `verdict.html` makes on the server.
  function verdict(name) {
    const known = Object.hasOwn(WORDS, name) ? name : "error";
    const element = document.createElement("span");
    element.className = `verdict verdict-${known}`;
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    shape.setAttribute("class", "verdict-shape");
    shape.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `${SPRITE}#${known}`);
    shape.append(use);
    element.append(shape, WORDS[known]);
    return element;
  }

  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRF-Token"] = csrfToken();
  });
  document.addEventListener("htmx:responseError", (event) => {
    const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
    const sentence = answer.querySelector("[data-problem]");
    say(sentence ? sentence.textContent.trim() : `The server answered ${event.detail.xhr.status}.`);
  });
  document.addEventListener("htmx:sendError", () => say("The server does not answer. Nothing was changed."));

  window.qc = Object.freeze({ csrfToken, send, say, verdict });
})();
