"""The pages in Debian's Chromium, against a dashboard that runs as a process."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import SIZES, THEMES, ColorScheme, Opened, check, press
from tests.support.pages import Dashboard, command, running_dashboard
from tests.support.published import MARKUP

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """Start a dashboard with users, one of them named like markup."""
    folder = tmp_path_factory.mktemp("with-users")
    for name, role in (("anna", "engineer"), (MARKUP, "viewer")):
        done = command(folder, "users", "add", "--role", role, "--password-file", "-", "--", name, stdin=PASSWORD)
        assert done.returncode == 0, done.stderr
    with running_dashboard(folder, {}) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def without_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with running_dashboard(tmp_path_factory.mktemp("without-users"), {}) as dashboard:
        yield dashboard


def sign_in(page: Page, name: str = "anna") -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No frame has arrived yet")


def test_keyboard_alone_signs_in_and_out(with_users: Dashboard, opened: Opened) -> None:
    page = opened(with_users.url)
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("anna")
    press(page, "Tab")
    page.keyboard.type("wrong password")
    press(page, "Enter")
    expect(page.get_by_role("alert").first).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("anna")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("No frame has arrived yet")
    press(page, "Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press(page, "Enter")
    expect(page.locator("#main")).to_be_focused()
    page.reload()
    rooms = page.locator(".rooms a").count()
    press(page, *["Tab"] * (rooms + 4))
    expect(page.get_by_role("button", name="Sign out")).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(with_users.url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_markup_in_a_users_name_stays_text(with_users: Dashboard, opened: Opened) -> None:
    page = opened(with_users.url)
    sign_in(page, MARKUP)
    expect(page.locator(".who")).to_contain_text(MARKUP)
    page.goto(f"{with_users.url}/nowhere")
    expect(page.locator(".who")).to_contain_text(MARKUP)
    page.goto(f"{with_users.url}/sign-in?next={MARKUP}")


def test_policy_stops_a_script_that_was_put_into_a_page(with_users: Dashboard, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(with_users.url)
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        const image = document.createElement('div');
        image.innerHTML = '<img src="x" onerror="window.ran = true">';
        document.body.append(image);
    }""")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.ran") is None
    page.close()


def test_colours_follow_the_system_and_the_switch(with_users: Dashboard, opened: Opened) -> None:
    page = opened(with_users.url, theme="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light colours").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_and_axe_finds_nothing(
    with_users: Dashboard, without_users: Dashboard, opened: Opened, size: str, theme: ColorScheme
) -> None:
    page = opened(f"{with_users.url}/sign-in", size, theme)
    check(page, f"sign-in-{size}-{theme}")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    check(page, f"refused-{size}-{theme}")
    sign_in(page, MARKUP)
    check(page, f"start-viewer-{size}-{theme}")
    page.goto(f"{with_users.url}/nowhere")
    check(page, f"not-found-{size}-{theme}")
    page = opened(without_users.url, size, theme)
    check(page, f"start-{size}-{theme}")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("wall", [False, True])
def test_verdicts_are_colour_word_and_shape(
    without_users: Dashboard, opened: Opened, theme: ColorScheme, wall: bool
) -> None:
    page = opened(without_users.url, "wide", theme)
    page.evaluate(
        """wall => {
        document.body.classList.toggle("wall", wall);
        const main = document.getElementById("main");
        const card = document.createElement("div");
        card.className = "card";
        main.replaceChildren(card);
        card.innerHTML = "<h1>Line A</h1><p class=wall-figure>0.8 %</p>";
        const names = ["pass", "reject", "review", "error", "no_model", "<unknown>"];
        for (const name of names) card.append(qc.verdict(name), " ");
    }""",
        wall,
    )
    page.wait_for_load_state("networkidle")
    shown = page.locator(".verdict")
    assert shown.all_inner_texts() == ["Pass", "Reject", "Review", "Error", "No model", "Error"]
    shapes = shown.locator("use").evaluate_all("uses => uses.map(use => use.getAttribute('href').split('#')[1])")
    assert shapes == ["pass", "reject", "review", "error", "no_model", "error"]
    check(page, f"verdicts-{'wall' if wall else 'desk'}-{theme}")
    height = shown.first.evaluate("each => parseFloat(getComputedStyle(each).fontSize)")
    assert height >= (40 if wall else 16)


def test_page_without_script_can_sign_in(with_users: Dashboard, opened: Opened) -> None:
    page = opened(with_users.url, java_script_enabled=False)
    sign_in(page)
