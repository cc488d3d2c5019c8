// Loaded before the page is drawn, so that it does not flash in the other colours.
(() => {
  "use strict";
  const KEY = "qc-theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off: the system's colours
    }
  }

  function current() {
    return root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }

  function show(theme) {
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  }

  function label(button) {
    button.textContent = current() === "dark" ? "Light colours" : "Dark colours";
  }

  show(stored());
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      label(button);
      button.hidden = false;
      button.addEventListener("click", () => {
        show(current() === "dark" ? "light" : "dark");
        label(button);
        document.dispatchEvent(new CustomEvent("qc:theme"));
        try {
          localStorage.setItem(KEY, current());
        } catch {
          // the choice then holds for this page alone
        }
      });
    }
  });
})();
