"""Signing in and out by the pages, and what the cookies are like."""

import pytest
from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from qc_dashboard.web.sign_in import local_path
from tests.support.web import BY_TEST, PASSWORD, Visitor, add_users


@pytest.fixture(autouse=True)
def _users(accounts: Accounts) -> None:
    add_users(accounts, Role.OPERATOR)


def test_page_leads_to_the_form_and_back(visitor: Visitor) -> None:
    answer = visitor.get("/review?line=A&part=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Freview%3Fline%3DA%26part%3D1")
    assert 'value="/review?line=A&amp;part=1"' in visitor.get(answer.headers["location"]).text
    answer = visitor.sign_in("operator", next="/review?line=A&part=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/review?line=A&part=1")
    assert visitor.get("/review").json()["name"] == "operator"
    assert visitor.get("/sign-in").status_code == 303


def test_program_gets_401_and_htmx_a_redirect(visitor: Visitor) -> None:
    answer = visitor.get("/api/v1/look")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    answer = visitor.get("/review", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


@pytest.mark.parametrize(("name", "password"), [("operator", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\0", "b\0")])
def test_wrong_name_or_password_is_told_in_the_same_words(visitor: Visitor, name: str, password: str) -> None:
    answer = visitor.sign_in(name, password)
    assert answer.status_code == 403
    assert "Name or password is wrong." in answer.text
    assert visitor.get("/review").status_code == 303


def test_too_many_attempts_are_told_when_the_next_is_possible(visitor: Visitor) -> None:
    answers = [visitor.sign_in("operator", "wrong") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
    assert answers[-1].headers["retry-after"] == "900"
    assert "Try again in 15 minutes." in answers[-1].text


def test_cookie_is_out_of_reach_of_scripts_and_other_sites(app: Starlette, visitor: Visitor) -> None:
    plain = visitor.sign_in("operator").headers.get_list("set-cookie")[0]
    assert plain.startswith("qc-session=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=604800"} <= set(plain.split("; "))
    assert "Secure" not in plain
    remote = Visitor(app, base="https://qc.example", address="10.0.0.9")
    over_tls = remote.sign_in("operator").headers.get_list("set-cookie")[0]
    assert over_tls.startswith("__Host-qc-session=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(over_tls.split("; "))
    assert remote.get("/review").status_code == 200


def test_nobody_signs_in_over_plain_http_from_elsewhere(app: Starlette) -> None:
    remote = Visitor(app, base="http://qc.example", address="10.0.0.9")
    page = remote.get("/sign-in")
    assert "Nobody can sign in over plain HTTP" in page.text
    assert 'name="password"' not in page.text
    assert remote.sign_in("operator").status_code in {400, 403}
    assert remote.get("/review").status_code == 303


def test_session_is_a_new_one_at_each_sign_in(visitor: Visitor) -> None:
    visitor.set_cookie("qc-session", "chosen-by-somebody-else")
    visitor.sign_in("operator")
    first = visitor.cookies["qc-session"]
    assert first != "chosen-by-somebody-else"
    # The form again in the same browser, as from a second window that was open before.
    answer = visitor.request(
        "POST",
        "/sign-in",
        data={"name": "operator", "password": PASSWORD},
        headers={"X-CSRF-Token": visitor.get("/api/v1/session").json()["csrf_token"]},
    )
    assert answer.status_code == 303
    second = visitor.cookies["qc-session"]
    assert second != first
    visitor.set_cookie("qc-session", first)
    assert visitor.get("/api/v1/session").status_code == 401


def test_sign_out_ends_the_session_itself(visitor: Visitor) -> None:
    visitor.sign_in("operator")
    token = visitor.cookies["qc-session"]
    answer = visitor.request(
        "POST", "/sign-out", headers={"X-CSRF-Token": visitor.get("/api/v1/session").json()["csrf_token"]}
    )
    assert answer.headers["location"] == "/sign-in"
    assert "qc-session" not in visitor.cookies
    visitor.set_cookie("qc-session", token)
    assert visitor.get("/review").status_code == 303


def test_session_tells_programs_who_they_are(visitor: Visitor) -> None:
    visitor.sign_in("operator")
    session = visitor.get("/api/v1/session").json()
    assert (session["name"], session["role"], session["proof"]) == ("operator", "operator", "session")
    answer = visitor.request("POST", "/review/judge", headers={"X-CSRF-Token": session["csrf_token"]})
    assert answer.json() == {"judged": True}


@pytest.mark.parametrize("path", ["/", "/review", "/review?line=A&since=1", "/frame/images/0/1"])
def test_own_paths_are_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [None, "", "review", "//evil.example", "/\\evil.example", "\\\\evil", "https://evil.example", "javascript:alert(1)",
     "/\t/evil.example", "/a\r\nSet-Cookie: x", "/\u2044evil", " //evil", "/a\\..\\b"],
)  # fmt: skip
def test_paths_that_lead_elsewhere_become_the_start(path: str | None) -> None:
    assert local_path(path) == "/"


def test_name_with_markup_is_shown_as_text(app: Starlette, accounts: Accounts) -> None:
    name = "<script>alert(1)</script>\"'&{{7*7}}"
    accounts.users.add(name, PASSWORD, Role.VIEWER, by=BY_TEST)
    visitor = Visitor(app)
    assert visitor.sign_in(name).status_code == 303
    page = visitor.get("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;{{7*7}}" in page
    assert "<script>alert" not in page
    failed = visitor.get("/nowhere").text
    assert "<script>alert" not in failed
