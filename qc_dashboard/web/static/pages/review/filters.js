// Choose what to review; the address has the choice, so that it can be kept as a bookmark.
export class Filters {
  #form = document.getElementById("filters");

  constructor(changed) {
    const given = new URLSearchParams(location.search);
    this.#set("line", given.get("line"));
    this.#set("order", given.get("order"));
    const verdicts = given.getAll("verdict");
    for (const box of this.#form.querySelectorAll("[name=verdict]")) box.checked = verdicts.includes(box.value);
    this.#say();
    this.#form.addEventListener("change", () => {
      const address = new URLSearchParams(new FormData(this.#form));
      for (const [name, text] of [...address]) if (!text) address.delete(name);
      history.replaceState(null, "", address.size ? `?${address}` : location.pathname);
      this.#say();
      changed();
    });
    this.#form.addEventListener("submit", (event) => event.preventDefault());
  }

  wanted() {
    const form = new FormData(this.#form);
    const line = form.get("line");
    return { ...(line && { line }), verdicts: form.getAll("verdict"), order: form.get("order") };
  }

  // A line or order that the form does not offer: of a line that has no frames yet.
  #set(name, value) {
    const select = this.#form.elements[name];
    if (value === null) return;
    if (name === "line" && ![...select.options].some((option) => option.value === value)) select.add(new Option(value, value));
    select.value = value;
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }

  #say() {
    const { line, order } = this.#form.elements;
    const verdicts = [...this.#form.querySelectorAll("[name=verdict]:checked")].map((box) => box.dataset.word);
    const words = [line.value ? `Line ${line.value}` : "All lines", verdicts.join(" and ") || "all verdicts", order.selectedOptions[0].text];
    document.getElementById("chosen").textContent = words.join(", ").toLowerCase().replace(/^./, (first) => first.toUpperCase());
  }
}
