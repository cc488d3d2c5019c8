"""Headers, static files, bounds, failures and the log."""

import hashlib
import re
from collections.abc import AsyncIterator

import pytest
import structlog
from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from qc_dashboard.web.rendering import Templates
from qc_dashboard.web.static_files import FOLDER
from qc_worker.domain.inspection import Verdict
from tests.support.web import PASSWORD, Visitor, add_users

SECRET_PATHS = ("/review", "/api/v1/look", "/sign-in", "/nowhere", "/livez")


@pytest.mark.parametrize("path", [*SECRET_PATHS, "/fail/problem", "/fail/defect"])
def test_every_answer_has_the_headers(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert len(headers["x-request-id"]) == 12


def test_pages_have_no_inline_script_or_style(visitor: Visitor) -> None:
    for path in ("/", "/sign-in", "/nowhere"):
        page = visitor.get(path).text
        assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
        assert re.findall(r"\s(?:style|on[a-z]+)=", page) == []
        assert re.findall(r'(?:src|href)="https?:', page) == []


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8090", "127.0.0.1:8090", "[::1]:8090", "QC.example", "10.0.0.1"]
)
def test_own_names_and_addresses_are_accepted(visitor: Visitor, host: str) -> None:
    assert visitor.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "", "localhost.evil.example", "evil.example:127", "a@localhost"])
def test_foreign_names_are_refused(visitor: Visitor, host: str) -> None:
    answer = visitor.get("/api/v1/look", headers={"Host": host})
    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")


def test_long_answers_are_compressed(visitor: Visitor) -> None:
    assert visitor.get("/api/v1/look", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in visitor.get("/api/v1/look", headers={"Accept-Encoding": "identity"}).headers


@pytest.mark.parametrize("announced", [True, False])
def test_large_bodies_are_refused(visitor: Visitor, announced: bool) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    headers = {"X-CSRF-Token": visitor.token(), "Accept": "application/json", "Content-Type": "application/json"}
    content = b"x" * 2_000_000 if announced else in_pieces()
    answer = visitor.request("POST", "/review/judge", headers=headers, content=content)
    assert (answer.status_code, answer.json()["detail"]) == (413, "The request has more than 1048576 bytes.")


def test_static_files_are_kept_by_the_browser_under_the_digest_of_their_content(visitor: Visitor) -> None:
    [path] = re.findall(r'href="(/static/[0-9a-f]{16}/app\.css)"', visitor.get("/").text)
    answer = visitor.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.content == (FOLDER / "app.css").read_bytes()
    again = visitor.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    older = visitor.get("/static/0000000000000000/app.css")
    assert (older.status_code, older.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "vendor", "/etc/passwd"])
def test_nothing_but_static_files_is_served(visitor: Visitor, name: str) -> None:
    assert visitor.get(f"/static/0000000000000000/{name}").status_code == 404


def test_vendored_files_are_those_that_the_readme_names() -> None:
    vendor = FOLDER / "vendor"
    rows = re.findall(
        r"^\| `(\S+)` \| \S+ \| [\d.]+ \| \S+ \| `([0-9a-f]{64})` \|$", (vendor / "README.md").read_text(), re.M
    )
    files = {path.relative_to(vendor).as_posix() for path in vendor.rglob("*") if path.suffix in {".js", ".css"}}
    assert files == {name for name, _ in rows}
    for name, digest in rows:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name
        assert (vendor / name).with_name("LICENSE").is_file()


def test_failures_are_pages_for_people_and_problem_details_for_programs(visitor: Visitor) -> None:
    page = visitor.get("/fail/problem")
    assert (page.status_code, page.headers["content-type"]) == (409, "text/html; charset=utf-8")
    assert "It was judged before." in page.text
    details = visitor.get("/fail/problem", headers={"Accept": "application/json"})
    assert details.headers["content-type"] == "application/problem+json"
    assert details.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "It was judged before.",
        "request_id": details.headers["x-request-id"],
    }
    fragment = visitor.get("/fail/problem", headers={"HX-Request": "true"})
    assert fragment.text.strip() == "<p data-problem>It was judged before.</p>"


def test_defect_shows_the_requests_id_and_nothing_of_its_cause(visitor: Visitor) -> None:
    with structlog.testing.capture_logs() as logged:
        answer = visitor.get("/fail/defect")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    [line] = [line for line in logged if line["event"] == "request failed"]
    assert line["request_id"] == answer.headers["x-request-id"]


def test_database_that_is_away_is_503_and_worth_a_retry(visitor: Visitor) -> None:
    answer = visitor.get("/fail/away", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_unknown_paths_and_methods_are_told(visitor: Visitor) -> None:
    assert "There is no such page" in visitor.get("/nowhere").text
    assert visitor.get("/api/v1/nowhere").json()["status"] == 404
    assert visitor.request("DELETE", "/api/v1/look").status_code == 405


def test_log_has_who_did_what_and_no_secret(app: Starlette, accounts: Accounts) -> None:
    add_users(accounts, Role.OPERATOR)
    visitor = Visitor(app)
    with structlog.testing.capture_logs() as logged:
        visitor.sign_in("operator", "a wrong password")
        visitor.sign_in("operator")
        visitor.get("/review?token=very-secret")
        visitor.get("/nowhere", headers={"Authorization": "Bearer very-secret"})
    requests = [
        (line["method"], line["path"], line["status"], line["user"]) for line in logged if line["event"] == "request"
    ]
    assert requests[-2:] == [("GET", "/review", 200, "operator"), ("GET", "/nowhere", 404, "operator")]
    said = str(logged)
    assert not any(
        secret in said for secret in (PASSWORD, "a wrong password", "very-secret", *visitor.cookies.values())
    )


def test_navigation_has_what_is_served_and_marks_where_one_is(visitor: Visitor) -> None:
    page = visitor.get("/").text
    assert re.findall(r'<a href="(\S+)"(?: aria-current="(page)")?>\w+</a></li>', page) == [
        ("/", "page"),
        ("/review", ""),
    ]


def test_health(visitor: Visitor) -> None:
    assert visitor.get("/livez").json() == {"answers": True}
    assert visitor.get("/readyz").json() == {"database": True}
    assert "qc_history_records_total" in visitor.get("/metrics").text


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_word_a_colour_and_a_shape(app: Starlette, verdict: Verdict) -> None:
    templates: Templates = app.state.web.templates
    source = "{% from 'verdict.html' import verdict_token %}{{ verdict_token(verdict, 'large') }}"
    token = templates.environment.from_string(source).render(verdict=verdict)
    assert f'class="verdict verdict-{verdict} large"' in token
    assert f"verdicts.svg#{verdict}" in token
    assert re.search(r"</svg>\w[\w ]+</span>", token)
    assert f".verdict-{verdict} {{" in (FOLDER / "app.css").read_text()
    assert f'<symbol id="{verdict}"' in (FOLDER / "verdicts.svg").read_text()
    assert f"{verdict}: " in (FOLDER / "app.js").read_text()
