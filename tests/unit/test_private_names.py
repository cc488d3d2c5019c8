"""Private names of others are used in one place: `transport/kafka_fixes` for kafka-python's."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

REPOSITORY = Path(__file__).parents[2]
ALLOWED_FOLDER = REPOSITORY / "qc_worker/transport/kafka_fixes"
FILES = sorted(
    path
    for package in ("qc_worker", "trainer")
    for path in (REPOSITORY / package).rglob("*.py")
    if ALLOWED_FOLDER not in path.parents
)
OWN = ("self", "cls")
EXCEPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "os._exit": "documented and public in spite of its name: the only way out that runs no clean-up",
        "tile._replace": "method of every named tuple, private in name only so that fields may have any name",
        "torch._dynamo": "torch has no public name for what the compiler keeps and for its limits",
    }
)
"""Each as it stands in the code, and why it may."""
BY_NAME = ("getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller")


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def violations(source: str) -> list[str]:
    """Return private names of others that a file imports or touches, by line."""
    tree = ast.parse(source)
    found = [*_imported(tree), *_touched(tree), *_asked_by_name(tree), *_inherited(tree)]
    return [f"line {line}: {text}" for line, text in sorted(found) if text not in EXCEPTIONS]


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if any(map(private, name.split("."))))


def _touched(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in OWN
            if not is_own:
                yield node.lineno, ast.unparse(node)


def _asked_by_name(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            names = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            yield from ((node.lineno, ast.unparse(node)) for name in names if any(map(private, name.split("."))))


def _inherited(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find `self._name` in subclasses of kafka-python's classes that the subclass does not define itself."""
    kafka = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kafka"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).partition(".")[0] in kafka for base in node.bases):
            methods = {one.name for one in ast.walk(node) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
            uses = [one for one in ast.walk(node) if isinstance(one, ast.Attribute) and private(one.attr)]
            own = methods | {one.attr for one in uses if isinstance(one.ctx, ast.Store)}
            yield from ((one.lineno, ast.unparse(one)) for one in uses if one.attr not in own)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_private_names_of_others_are_left_alone(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_is_needed(name: str) -> None:
    assert any(name in path.read_text(encoding="utf-8") for path in FILES)


@pytest.mark.parametrize(
    "source",
    [
        "from kafka.record._crc32c import crc",
        "import kafka.record._crc32c",
        "from kafka.net.manager import _hidden",
        "consumer._coordinator",
        "self._producer._sender.wakeup()",
        "super()._connect()",
        "getattr(consumer, '_coordinator')",
        "from kafka import KafkaConsumer\nclass Ours(KafkaConsumer):\n    def poll(self):\n"
        "        return self._fetcher",
    ],
)
def test_the_check_sees(source: str) -> None:
    assert len(violations(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "self._own",
        "type(self).__name__",
        "os._exit(1)",
        "from kafka import KafkaConsumer\nclass Ours(KafkaConsumer):\n    def poll(self):\n        self._own = 1\n"
        "        return self._own",
    ],
)
def test_the_check_allows(source: str) -> None:
    assert violations(source) == []
