"""No write without the token of this very browser, from no other site."""

import pytest
from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from tests.support.web import PASSWORD, Visitor, add_users

WRITE = "/review/judge"


def write(visitor: Visitor, token: str, **headers: str) -> int:
    sent = {"X-CSRF-Token": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return visitor.request("POST", WRITE, headers=sent).status_code


def test_token_comes_in_a_header_or_in_the_form(visitor: Visitor) -> None:
    assert write(visitor, visitor.token()) == 200
    assert visitor.request("POST", WRITE, data={"csrf_token": visitor.token()}).status_code == 200
    assert visitor.request("POST", WRITE, files={"csrf_token": (None, visitor.token())}).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "=" * 88, "A" * 88, "\u00e4".encode().decode("latin-1")])
def test_other_tokens_are_refused(visitor: Visitor, token: str) -> None:
    visitor.token()
    assert write(visitor, token) == 403


def test_token_differs_on_each_page_and_all_are_good(visitor: Visitor) -> None:
    tokens = {visitor.token() for _ in range(3)}
    assert len(tokens) == 3
    assert {write(visitor, token) for token in tokens} == {200}


def test_token_of_another_browser_is_refused(app: Starlette, visitor: Visitor) -> None:
    visitor.token()
    assert write(visitor, Visitor(app).token()) == 403


def test_token_from_before_the_sign_in_is_refused_after_it(app: Starlette, accounts: Accounts) -> None:
    add_users(accounts, Role.OPERATOR)
    visitor = Visitor(app)
    before = visitor.token()
    visitor.sign_in("operator")
    assert write(visitor, before) == 403
    assert write(visitor, visitor.token()) == 200


def test_without_the_cookie_the_token_is_refused(app: Starlette, visitor: Visitor) -> None:
    assert write(Visitor(app), visitor.token()) == 403


@pytest.mark.parametrize(
    "headers",
    [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "http://evil.example"},
     {"Origin": "null"}, {"Origin": "http://localhost:1"}],
)  # fmt: skip
def test_other_origins_are_refused_even_with_the_token(visitor: Visitor, headers: dict[str, str]) -> None:
    assert write(visitor, visitor.token(), **headers) == 403


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_own_origin_is_accepted(visitor: Visitor, headers: dict[str, str]) -> None:
    assert write(visitor, visitor.token(), **headers) == 200


def test_signing_in_needs_a_token_too(app: Starlette, accounts: Accounts) -> None:
    add_users(accounts, Role.OPERATOR)
    answer = Visitor(app).request("POST", "/sign-in", data={"name": "operator", "password": PASSWORD})
    assert answer.status_code == 403
    assert "Load the page again" in answer.text
