"""A browser for all tests of the pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from qc_worker.domain.errors import SettingsError
from tests.conftest import skip_on_a_laptop
from tests.support.pages import chromium, chromium_program


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium_program()
    except SettingsError as error:
        skip_on_a_laptop(str(error))
    with chromium() as started:
        yield started
