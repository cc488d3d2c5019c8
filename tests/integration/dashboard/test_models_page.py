"""Models in Debian's Chromium: versions compared, one promoted by typing its name, and followed until it judges."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from qc_dashboard.accounts.audit import THIS_MACHINE, AuditEntry
from qc_dashboard.accounts.identity import Identity, Proof
from qc_dashboard.accounts.roles import Role
from qc_dashboard.history.writing import HistoryWriter
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.ports.feeds import PublishedRelease
from qc_worker.ports.models import ModelStore
from qc_worker.wire.json_types import encode_release
from tests.support.browsing import THEMES, Opened, check, press
from tests.support.databases import migrated, new_url
from tests.support.factories import add_version, share_head
from tests.support.pages_rig import PagesRig
from tests.support.published import MARKUP

SCORES = tuple(n / 100 for n in range(99))
PASSWORD = "correct horse battery"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PagesRig]:
    """v1, v2 with another threshold, v3 with another head; v1 is live; frames of a line that is named like markup."""
    with new_url(None, tmp_path) as url, migrated(url) as database:
        rig = PagesRig(database, tmp_path)
        add_version(rig.store, version="v1", scores=SCORES)
        share_head(rig.store, version="v2", scores=SCORES[1:])
        add_version(rig.store, version="v3", seed=3, scores=SCORES)
        rig.versions.promote("A", "v1")
        known(rig)
        for offset in range(10):
            rig.clock.advance(1)
            rig.judge(offset, verdict=Verdict.PASS, score=offset / 10)
        rig.judge(10, line=MARKUP, camera=MARKUP, verdict=Verdict.NO_MODEL, model_version=MARKUP, score=None)
        rig.step()
        yield rig


def known(rig: PagesRig) -> None:
    """Have what is announced in the history, as the projection writes it."""
    release = rig.releases.read_all()["A"]
    published = PublishedRelease(release, Position("models", 0, 0), encode_release(release))
    HistoryWriter(rig.database).add_releases([published])


def in_both_themes(page: Page, name: str) -> None:
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        check(page, f"{name}-{theme}")


def test_an_engineer_compares_promotes_and_rolls_back(rig: PagesRig, opened: Opened) -> None:
    with rig.served() as url:
        page = opened(f"{url}/models")
        expect(page.locator("[data-line=A]")).to_contain_text("● Live v1")
        expect(page.get_by_text(f"Line {MARKUP}")).to_be_visible()
        expect(page.get_by_text(MARKUP, exact=True)).to_be_visible()
        in_both_themes(page, "models-desk")
        page.get_by_role("link", name="Line A").click()
        expect(page.locator("tr[data-version]")).to_have_count(3)
        expect(page.locator("tr[data-version=v1]")).to_contain_text("● Live")
        expect(page.locator("tr.current")).to_contain_text("present")
        expect(page.locator("#counted")).to_contain_text("10 can be compared")
        expect(page.locator("#threshold-chart canvas")).to_be_visible()
        page.get_by_text("Card of v2").click()
        expect(page.get_by_text("that of v1")).to_be_visible()
        expect(page.locator("#roll-back")).to_be_hidden()
        in_both_themes(page, "line-models-desk")
        promote(page)
        released = rig.releases.read_all()["A"]
        assert released.version == "v2"
        expect(page.locator("#followed")).to_contain_text("Waiting for the first verdict")
        known(rig)
        rig.clock.advance(0.8)
        rig.judge(11, model_version="v2", score=0.2)
        rig.step()
        expect(page.locator("#followed")).to_contain_text("Version v2: live after 0.8 s")
        expect(page.locator("#now")).to_contain_text("● Live v2")
        page.get_by_role("button", name="Roll back").click()
        page.keyboard.type("A")
        press(page, "Tab")
        page.keyboard.type("v1")
        press(page, "Enter")
        expect(page.locator("tr[data-version=v1]")).to_contain_text("● Live")
        assert rig.releases.read_all()["A"].version == "v1"


def promote(page: Page) -> None:
    """Promote v2 by keyboard, with typing errors on the way."""
    page.get_by_role("button", name="Promote v2").focus()
    press(page, "Enter")
    expect(page.locator("#typed-line")).to_be_focused()
    in_both_themes(page, "promote-desk")
    press(page, "Escape")
    expect(page.locator("#release")).to_be_hidden()
    expect(page.get_by_role("button", name="Promote v2")).to_be_focused()
    press(page, "Enter")
    page.keyboard.type("B")
    press(page, "Enter")
    expect(page.locator("#release-problem")).to_contain_text("Type the line's name exactly: A")
    page.locator("#typed-line").fill("A")
    press(page, "Tab")
    page.keyboard.type("v3")
    press(page, "Enter")
    expect(page.locator("#release-problem")).to_contain_text("Type the version exactly: v2")
    page.locator("#typed-version").fill("v2")
    press(page, "Enter")
    expect(page.locator("#release")).to_be_hidden()


def test_who_was_slower_is_told_and_viewers_have_no_buttons(rig: PagesRig, opened: Opened) -> None:
    with rig.served() as url:
        page = opened(f"{url}/models/A", "phone")
        page.get_by_role("button", name="Promote v2").click()
        rig.versions.promote("A", "v3")
        page.locator("#typed-line").fill("A")
        page.locator("#typed-version").fill("v2")
        page.get_by_role("button", name="Promote", exact=True).click()
        expect(page.locator("#release-problem")).to_contain_text("v3 of line A went live meanwhile")
        assert rig.releases.read_all()["A"].version == "v3"
        press(page, "Escape")
        in_both_themes(page, "line-models-phone")

        by = AuditEntry(Identity("root", Role.ENGINEER, Proof.COMMAND_LINE), THIS_MACHINE, "add user")
        rig.accounts.users.add("Vera", PASSWORD, Role.VIEWER, by=by)
        page = opened(f"{url}/models/A", "wide")
        page.get_by_label("Name").fill("Vera")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("tr[data-version=v3]")).to_contain_text("● Live")
        expect(page.get_by_role("button", name="Promote")).to_have_count(0)
        assert page.locator("#release, #roll-back").count() == 0
        in_both_themes(page, "line-models-wide")


def test_without_the_store_the_page_shows_what_the_history_knows(rig: PagesRig, opened: Opened) -> None:
    def away() -> ModelStore:
        raise TransportError("no route to host")

    rig.versions._opened, rig.versions._open_store = None, away
    with rig.served() as url:
        page = opened(f"{url}/models/A")
        expect(page.locator("#troubles")).to_contain_text("The model store does not answer")
        expect(page.locator("#now")).to_contain_text("● Live v1")
        in_both_themes(page, "models-without-store")
