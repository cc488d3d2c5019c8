"""Names come out as they went in: no markup, nothing cut, nothing folded where there is no terminal."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from qc_worker.observability.printing import multiline, plain, print_json, print_table

NAMES = ("[left]", "[/red]", "[bold red]x[/]", ":warning:", "a  b", "\\[x]", "Teil ä ☃", "x" * 300, "images:0", "[")


def piped(rows: list[list[str]], capsys: pytest.CaptureFixture[str]) -> str:
    print_table(["a", "b"], rows, copied=(0,))
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("name", NAMES)
def test_names_come_whole_and_on_one_line_when_piped(
    name: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    printed = piped([[name, name], ["other", "y" * 200]], capsys)
    (line,) = (line for line in printed.splitlines() if line.count(name) >= 2)
    assert line.count(name) == (line.count("[") if name == "[" else 2)
    assert "…" not in printed


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1))
def test_any_printable_text_is_shown_as_it_is(name: str) -> None:
    printed = io.StringIO()
    print_table(["a"], [[f"<{name}>"]], to=Console(file=printed, width=1 << 20))
    assert f"<{name}>" in printed.getvalue()


@given(st.text(st.characters(codec=None)))
def test_plain_text_moves_no_cursor_and_can_be_encoded(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1 or "\x85" in text
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)


def test_a_line_end_in_a_name_makes_no_row_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    printed = piped([["a\nb\r\x1b[2J", "y"]], capsys)
    assert r"a\nb\r\x1b[2J" in printed
    assert len(printed.splitlines()) == 5


def test_a_cell_may_have_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a"], [[multiline(["[one]", "two"])]])
    assert [line.strip("│ ") for line in capsys.readouterr().out.splitlines()[3:5]] == ["[one]", "two"]


@given(
    rows=st.lists(st.lists(st.text("ab 1", min_size=1, max_size=40), min_size=3, max_size=3), min_size=1, max_size=4),
    width=st.integers(5, 120),
)
def test_no_character_is_lost_on_a_terminal_of_any_width(rows: list[list[str]], width: int) -> None:
    printed = io.StringIO()
    columns = ["partition", "out of order", "x"]
    console = Console(file=printed, width=width, force_terminal=True, color_system=None)
    print_table(columns, rows, right=(1,), copied=(0,), to=console)
    assert "…" not in printed.getvalue()
    for letter in "ab1":
        wanted = sum(cell.count(letter) for row in rows for cell in row)
        names = "".join(columns).count(letter)
        assert printed.getvalue().count(letter) >= wanted + names


def test_a_narrow_terminal_gets_a_line_for_each_cell() -> None:
    printed = io.StringIO()
    print_table(["partition", "frames"], [["images:0", "12"]], right=(1,), to=Console(file=printed, width=10))
    assert printed.getvalue() == "partition: images:0\nframes: 12\n\n"


def test_json_is_one_line_of_ascii_whatever_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"nan": float("nan"), "names": ["[left]", "☃", "caf\udce9", "a\nb"]})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"nan": None, "names": ["[left]", "☃", r"caf\xe9", "a\nb"]}
