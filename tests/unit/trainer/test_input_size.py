import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc_worker.domain.errors import SettingsError
from qc_worker.simplenet.defaults import BackboneDefaults
from tests.unit.simplenet.factories import an_embedding_spec
from trainer.input_size import AskedInputSize, choose_input_size, fit_to_tiles, parse_input_size

SIDES = st.integers(32, 2048)
DEFAULTS = BackboneDefaults(input_size=224)


@given(side=SIDES)
def test_one_number_asks_for_a_square(side: int) -> None:
    assert parse_input_size(str(side)) == AskedInputSize((side, side))


@given(height=SIDES, width=SIDES)
def test_two_numbers_are_height_and_width(height: int, width: int) -> None:
    assert parse_input_size(f"{height}x{width}") == AskedInputSize((height, width))


@pytest.mark.parametrize("text", ["31", "2049", "31x256", "256x2049", "0", "999999x999999"])
def test_sides_too_small_or_too_large_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="32 to 2048 pixels"):
        parse_input_size(text)


@given(text=st.text().filter(lambda text: not text.isdigit()) | st.sampled_from(["256X384", "256x", "x256", " 256"]))
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_input_size(text if text != "auto" else "")
    assert len(str(refused.value).splitlines()) == 1


def test_what_was_asked_for_is_chosen_and_else_the_backbones_own() -> None:
    assert choose_input_size(AskedInputSize((96, 160)), defaults=DEFAULTS) == (96, 160)
    assert choose_input_size(parse_input_size("auto"), defaults=DEFAULTS) == (224, 224)
    assert choose_input_size(parse_input_size("auto"), defaults=DEFAULTS, tiles=3) == (672, 672)


@given(height=SIDES, width=SIDES, tiles=st.integers(1, 8))
def test_sides_are_rounded_down_to_what_tiles_need(height: int, width: int, tiles: int) -> None:
    spec = an_embedding_spec(input_size=(height, width), levels=(16, 32), tiles=tiles)
    try:
        fitting = fit_to_tiles(spec)
    except SettingsError as error:
        assert f"--tiles {tiles}" in str(error)  # noqa: PT017  (either outcome is right, for some sides)
        assert max(height, width) < 224 + 32 * tiles or min(height, width) < 32
        return
    unit = 32 if tiles > 1 else 1
    assert fitting.input_size == (height // unit * unit, width // unit * unit)
    assert fitting.cost > 0
