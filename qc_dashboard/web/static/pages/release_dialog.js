// Making a version live: the line and the version are typed once more.
const part = (id) => document.getElementById(id);
let current = null;

export function openDialog(wanted) {
  current = wanted;
  const { how, line, version, live } = wanted;
  const back = how === "rollback";
  part("release-title").textContent = back ? "Roll back?" : "Promote this version?";
  part("release-what").textContent = `Version ${version} shall judge line ${line}, instead of ${live ?? "none"}.`;
  part("release-go").textContent = back ? "Roll back" : "Promote";
  part("wanted-line").textContent = line;
  part("wanted-version").textContent = version;
  for (const id of ["typed-line", "typed-version"]) part(id).value = "";
  tell("");
  part("release").showModal();
  part("typed-line").focus();
}

function tell(sentence) {
  part("release-problem").textContent = sentence;
  part("release-problem").hidden = !sentence;
}

async function go() {
  const { line, version, live, send, done } = current;
  const typed = { line: part("typed-line").value.trim(), version: part("typed-version").value.trim() };
  if (typed.line !== line) return refuse("typed-line", `Type the line's name exactly: ${line}`);
  if (typed.version !== version) return refuse("typed-version", `Type the version exactly: ${version}`);
  const button = part("release-go");
  button.disabled = true;
  tell("");
  try {
    const released = await send({ ...typed, live });
    part("release").close();
    done(released);
  } catch (error) {
    tell(error.message);
  }
  button.disabled = false;
}

function refuse(id, sentence) {
  tell(sentence);
  part(id).focus();
}

part("release")
  ?.querySelector("form")
  .addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
part("release-leave")?.addEventListener("click", () => part("release").close());
