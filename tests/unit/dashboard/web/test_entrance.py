"""Who comes in without a password: this machine while there are no users, and whom a trusted proxy names."""

from ipaddress import ip_network

import pytest
from starlette.applications import Starlette

from qc_dashboard.accounts.accounts import Accounts
from qc_dashboard.accounts.roles import Role
from qc_dashboard.settings import DashboardSettings, load_dashboard_settings
from qc_dashboard.web.app import create_app
from qc_dashboard.web.door import Entrance
from qc_dashboard.wiring.entering import entrance, is_loopback
from qc_worker.domain.errors import SettingsError
from tests.support.web import BY_TEST, Visitor, add_users
from tests.unit.dashboard.web.conftest import ROUTES

PROXY, STRANGER = "10.1.0.5", "10.2.0.9"
HEADER = "X-Forwarded-User"


@pytest.fixture
def behind_proxy(accounts: Accounts) -> Starlette:
    door = Entrance(
        loopback_only=False,
        proxies=(ip_network("10.1.0.0/24"), ip_network("::1")),
        trusted_header=HEADER,
        trusted_header_role=Role.OPERATOR,
        names=("qc.example",),
    )
    return create_app(accounts, door, routes=ROUTES)


def via(app: Starlette, address: str = PROXY, **headers: str) -> tuple[int, object]:
    answer = Visitor(app, address=address).get(
        "/api/v1/session", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return answer.status_code, answer.json().get("name")


def test_without_users_everyone_at_this_machine_is_engineer_and_the_page_says_so(visitor: Visitor) -> None:
    session = visitor.get("/api/v1/session").json()
    assert (session["role"], session["proof"]) == ("engineer", "loopback")
    assert "No users yet: whoever sits at this machine may do everything" in visitor.get("/").text


def test_with_the_first_user_everyone_has_to_sign_in(visitor: Visitor, accounts: Accounts) -> None:
    add_users(accounts, Role.ENGINEER)
    assert visitor.get("/api/v1/session").status_code == 401
    accounts.users.remove("engineer", by=BY_TEST)
    assert visitor.get("/api/v1/session").status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto"])
def test_proxy_on_this_machine_does_not_let_everybody_in(visitor: Visitor, header: str) -> None:
    assert visitor.get("/api/v1/session", headers={header: "1.2.3.4"}).status_code == 401


def test_other_addresses_are_not_this_machine(app: Starlette) -> None:
    assert Visitor(app, address=STRANGER).get("/api/v1/session").status_code == 401
    assert Visitor(app, address="::1").get("/api/v1/session").status_code == 200
    assert Visitor(app, address="::ffff:127.0.0.1").get("/api/v1/session").status_code == 200


def test_proxy_names_the_user(behind_proxy: Starlette, accounts: Accounts) -> None:
    assert via(behind_proxy, X_Forwarded_User="Änne".encode().decode("latin-1")) == (200, "Änne")
    add_users(accounts, Role.ENGINEER)
    answer = Visitor(behind_proxy, address=PROXY).get("/api/v1/session", headers={HEADER: "ENGINEER"}).json()
    assert (answer["name"], answer["role"], answer["proof"]) == ("engineer", "engineer", "proxy")
    answer = Visitor(behind_proxy, address=PROXY).get("/api/v1/session", headers={HEADER: "somebody"}).json()
    assert (answer["name"], answer["role"]) == ("somebody", "operator")


def test_header_from_elsewhere_is_refused(behind_proxy: Starlette) -> None:
    assert via(behind_proxy, STRANGER, X_Forwarded_User="engineer") == (403, None)
    assert via(behind_proxy, "127.0.0.1", X_Forwarded_User="engineer") == (403, None)
    assert via(behind_proxy, STRANGER, X_Forwarded_User="engineer", X_Forwarded_For=PROXY) == (403, None)


def test_header_that_names_nobody_or_two_is_refused(behind_proxy: Starlette) -> None:
    assert via(behind_proxy, X_Forwarded_User="") == (400, None)
    assert via(behind_proxy, X_Forwarded_User="\x7f") == (400, None)
    twice = [(HEADER, "a"), (HEADER, "b")]
    assert Visitor(behind_proxy, address=PROXY).get("/api/v1/session", headers=twice).status_code == 400


def test_proxy_that_names_nobody_lets_nobody_in(behind_proxy: Starlette) -> None:
    assert via(behind_proxy) == (401, None)
    page = Visitor(behind_proxy, address=PROXY).get("/sign-in").text
    assert "signed in by the site&#39;s own login" in page or "signed in by the site's own login" in page


def test_address_of_the_browser_is_taken_from_trusted_proxies_only(behind_proxy: Starlette, accounts: Accounts) -> None:
    for sender, chain, expected in (
        (PROXY, "1.1.1.1, 10.2.0.9, 10.1.0.7", STRANGER),
        (PROXY, "1.1.1.1, nonsense, 10.1.0.7", "10.1.0.7"),
        (STRANGER, "1.1.1.1", None),
    ):
        visitor = Visitor(behind_proxy, address=sender, base="https://qc.example")
        headers = {"X-Forwarded-For": chain, **({HEADER: "somebody"} if sender == PROXY else {})}
        token = visitor.get("/api/v1/session", headers=headers).json().get("csrf_token", "")
        visitor.request("POST", "/review/judge", headers={**headers, "X-CSRF-Token": token})
        rows = accounts.audit.newest(1)
        assert rows[0].address == (expected or rows[0].address)
    assert len(accounts.audit.newest(10)) == 2


def test_tls_of_a_trusted_proxy_counts(behind_proxy: Starlette, accounts: Accounts) -> None:
    add_users(accounts, Role.VIEWER)
    for address, shown in ((PROXY, True), (STRANGER, False)):
        visitor = Visitor(behind_proxy, address=address, base="http://qc.example")
        page = visitor.get("/sign-in", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": STRANGER}).text
        assert ('name="password"' in page) is shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_users(host: str) -> None:
    assert is_loopback(host)
    assert entrance(load_dashboard_settings(dashboard_host=host), has_users=False).loopback_only


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "qc.example"])
def test_other_addresses_need_users_or_a_trusted_header(host: str) -> None:
    with pytest.raises(SettingsError, match="qc-dashboard users add"):
        entrance(load_dashboard_settings(dashboard_host=host), has_users=False)
    assert not entrance(load_dashboard_settings(dashboard_host=host), has_users=True).loopback_only
    trusted = load_dashboard_settings(dashboard_host=host, trusted_header=HEADER, trusted_proxies="10.0.0.1, fd00::/8")
    assert not entrance(trusted, has_users=False).loopback_only


def test_trusted_header_closes_the_door_of_this_machine(accounts: Accounts) -> None:
    door = Entrance(loopback_only=True, proxies=(ip_network(PROXY),), trusted_header=HEADER)
    assert Visitor(create_app(accounts, door)).get("/api/v1/session").status_code == 401


def test_trusted_header_needs_the_proxies() -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        entrance(load_dashboard_settings(trusted_header=HEADER), has_users=True)


@pytest.mark.parametrize("given", [{"trusted_proxies": "10.0.0.0/99"}, {"trusted_header": "X User"}])
def test_settings_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(given))):
        load_dashboard_settings(**given)


def test_settings_have_no_trusted_header_by_default() -> None:
    assert DashboardSettings().trusted_header == ""
