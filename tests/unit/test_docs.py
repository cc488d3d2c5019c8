import ast
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
import yaml

from qc_dashboard.settings import DashboardSettings
from qc_worker.domain.errors import Reason
from qc_worker.domain.inspection import Verdict
from tools.doc_tables import TABLES, with_tables

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    path
    for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("tests/unit/**/*.md"))
    if "site-packages" not in path.parts
]
TEXTS = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
EVERYTHING = "\n".join(TEXTS.values())
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\b(qc-worker|qc-trainer|qc-dashboard) ([a-z]+)((?: +(?!\|)[^\s`|]+)*)")


@pytest.mark.parametrize("page", TABLES)
def test_generated_tables_are_current(page: str) -> None:
    assert (REPOSITORY / page).read_text(encoding="utf-8") == with_tables(page), "run `make docs`"


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(LINK, TEXTS[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert linked.exists(), f"{page} links to {target}"
        assert not anchor or anchor in _anchors(linked), f"{page} links to {target}"


def test_every_page_is_reachable_from_the_index() -> None:
    reached: set[str] = set()
    waiting = ["docs/README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = (target.partition("#")[0] for target in re.findall(LINK, TEXTS[page]) if "://" not in target)
        linked = {os.path.normpath(Path(page).parent / target) for target in targets if target}
        waiting += sorted((linked & TEXTS.keys()) - reached)
    assert {page for page in TEXTS if page.startswith("docs/")} <= reached


def test_commands_and_options_in_the_documents_exist() -> None:
    commands = {program: _commands(program) for program in ("qc-worker", "qc-trainer", "qc-dashboard")}
    written = {match.group(0): match.groups() for match in COMMAND.finditer(_code())}
    assert len(written) > 10
    for text, (program, outer, rest) in written.items():
        assert outer in commands[program], text
        command = commands[program][outer]
        if inner := getattr(command, "commands", None):  # such as `users add`
            name = (rest.split() or [next(iter(inner))])[0]
            assert name in inner, text
            command = inner[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) <= known | {"--help"}, text


def test_make_targets_in_the_documents_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)\b", _code())) <= targets
    assert {"demo", "test", "test-faults", "lint", "bench", "clean", "help", "docs"} <= targets


def test_environment_variables_in_the_documents_exist() -> None:
    known = {f"QC_{name.upper()}" for name in DashboardSettings.model_fields}
    known |= {"QC_CONFIG", "QC_TEST_KAFKA", "QC_TEST_REDIS"}
    assert set(re.findall(r"\bQC_[A-Z][A-Z_]*[A-Z]\b", EVERYTHING)) <= known


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason: Reason) -> None:
    assert f"| `{reason}` |" in TEXTS["docs/reference/reasons.md"]


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict: Verdict) -> None:
    assert f"| `{verdict}` |" in TEXTS["README.md"]


def test_python_in_the_readme_is_python_of_ten_lines() -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    ast.parse(snippet)
    assert len(snippet.splitlines()) <= 10


def test_glossary_is_in_order_and_has_no_word_twice() -> None:
    terms = re.findall(r"^\| ([^|]+?) \|", TEXTS["docs/reference/glossary.md"], re.MULTILINE)[1:]
    terms = [term for term in terms if not term.startswith("-")]
    assert terms == sorted(set(terms), key=str.lower)


def test_constraints_fix_every_dependency_within_its_range() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pinned}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(versions[name]), f"{name} {versions[name]} is out of its range"


def test_constraints_leave_platform_packages_to_torch() -> None:
    constraints = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(nvidia|cuda|triton)", constraints, re.MULTILINE)


def test_hooks_run_the_tools_of_the_virtual_environment() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert all(".venv/bin/" in hook["entry"] for repository in config["repos"] for hook in repository["hooks"])


def test_licence_is_apache_2() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def _code() -> str:
    """What the documents set in code, inline or fenced."""
    pages = "\n".join(text for page, text in TEXTS.items() if page != "CHANGELOG.md")
    return "\n".join(re.findall(r"```sh\n.*?```|`[^`\n]+`", pages, re.DOTALL))


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands(program: str) -> dict[str, Any]:
    commands: dict[str, Any] = getattr(typer.main.get_command(_app(program)), "commands", {})
    return commands


def _app(program: str) -> typer.Typer:
    if program == "qc-worker":
        import qc_worker.cli

        return qc_worker.cli.app
    if program == "qc-dashboard":
        import qc_dashboard.cli

        return qc_dashboard.cli.app
    import trainer.cli

    return trainer.cli.app
