"""Users, sessions, bounded attempts and the audit, the same on SQLite and PostgreSQL."""

import hashlib
from collections.abc import Callable
from threading import Barrier, Thread

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text, update

from qc_dashboard.accounts.accounts import Accounts, SignedIn, WrongPassword
from qc_dashboard.accounts.attempts import AttemptLimits, Wait
from qc_dashboard.accounts.passwords import Passwords
from qc_dashboard.accounts.roles import Role
from qc_dashboard.accounts.sessions import SessionLimits
from qc_dashboard.accounts.tables import sessions, sign_in_attempts, users
from qc_dashboard.database.database import Database
from qc_worker.domain.errors import SettingsError
from tests.support.factories import ManualClock
from tests.support.web import BY_TEST, PASSWORD, accounts_on, add_users

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def accounts(database: Database, clock: ManualClock) -> Accounts:
    made = accounts_on(
        database,
        clock,
        attempt_limits=AttemptLimits(per_name=3, per_address=5, window_s=60),
        session_limits=SessionLimits(idle_s=600, total_s=3600),
    )
    add_users(made, Role.OPERATOR)
    return made


def signed_in(accounts: Accounts, name: str = "operator", password: str = PASSWORD) -> str:
    outcome = accounts.sign_in(name, password, address=HERE)
    assert isinstance(outcome, SignedIn)
    return outcome.token


def test_names_are_compared_without_case_and_width(accounts: Accounts) -> None:
    accounts.users.add("Änne", PASSWORD, Role.VIEWER, by=BY_TEST)
    for other in ("änne", "ÄNNE", "A\u0308nne", " Änne "):
        with pytest.raises(SettingsError, match="exists already"):
            accounts.users.add(other, PASSWORD, Role.VIEWER, by=BY_TEST)
    assert [user.name for user in accounts.users.all()] == ["operator", "Änne"]
    assert signed_in(accounts, "\uff2f\uff30\uff25\uff32\uff21\uff34\uff2f\uff32")


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "a\nb", "a\u202eb", "a\u200bb", "\ud800", "n" * 65])
def test_names_that_cannot_be_read_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        accounts.users.add(name, PASSWORD, Role.VIEWER, by=BY_TEST)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "NewOperator"])
def test_poor_passwords_are_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(SettingsError, match="password"):
        accounts.users.add("newoperator", password, Role.VIEWER, by=BY_TEST)


def test_commands_say_that_there_is_no_such_user(accounts: Accounts) -> None:
    changes: list[Callable[[], None]] = [
        lambda: accounts.users.remove("nobody", by=BY_TEST),
        lambda: accounts.users.set_password("nobody", PASSWORD, by=BY_TEST),
        lambda: accounts.users.set_role("nobody", Role.VIEWER, by=BY_TEST),
    ]
    for change in changes:
        with pytest.raises(SettingsError, match="no user nobody"):
            change()


def test_database_holds_neither_password_nor_token(accounts: Accounts, database: Database) -> None:
    token = signed_in(accounts)
    with database.reading() as connection:
        kept = [str(connection.execute(select(table)).all()) for table in (users, sessions, sign_in_attempts)]
    assert "$argon2id$" in kept[0]
    assert hashlib.sha256(token.encode()).hexdigest() in kept[1]
    assert not any(secret in each for secret in (PASSWORD, token) for each in kept)


def test_hash_is_renewed_at_the_next_sign_in_after_its_parameters_changed(
    accounts: Accounts, database: Database, clock: ManualClock
) -> None:
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    newer = Accounts(database, clock=clock, passwords=Passwords(stronger))
    for _ in range(2):
        signed_in(newer)
    with database.reading() as connection:
        assert "m=16,t=2,p=1" in connection.execute(select(users.c.password_hash)).scalar_one()
    assert signed_in(accounts)


@pytest.mark.parametrize("name", ["operator", "nobody", "", "a\0b", "\ud800", "%", "' OR 1=1 --"])
def test_wrong_password_and_unknown_name_are_refused_alike(accounts: Accounts, name: str) -> None:
    assert accounts.sign_in(name, "wrong", address=HERE) == WrongPassword()


def test_session_ends_when_it_is_not_used(accounts: Accounts, clock: ManualClock) -> None:
    token = signed_in(accounts)
    for _ in range(4):
        clock.advance(500)
        assert accounts.sessions.identity(token)
    clock.advance(600)
    assert accounts.sessions.identity(token) is None


def test_session_ends_in_any_case(accounts: Accounts, clock: ManualClock) -> None:
    token = signed_in(accounts)
    for _ in range(8):
        assert accounts.sessions.identity(token)
        clock.advance(450)
    assert accounts.sessions.identity(token) is None


def test_sessions_that_have_ended_are_deleted(accounts: Accounts, database: Database, clock: ManualClock) -> None:
    signed_in(accounts)
    clock.advance(601)
    signed_in(accounts)
    with database.reading() as connection:
        assert len(connection.execute(select(sessions)).all()) == 1


def test_each_sign_in_has_a_token_of_its_own_and_ends_the_browsers_old_one(accounts: Accounts) -> None:
    first, other = signed_in(accounts), signed_in(accounts)
    assert first != other
    outcome = accounts.sign_in("operator", PASSWORD, address=HERE, instead_of=first)
    assert isinstance(outcome, SignedIn)
    alive = [accounts.sessions.identity(token) is not None for token in (first, other, outcome.token)]
    assert alive == [False, True, True]


def test_sign_out_ends_the_session(accounts: Accounts) -> None:
    token = signed_in(accounts)
    accounts.sign_out(token, address=HERE)
    accounts.sign_out(token, address=HERE)
    assert accounts.sessions.identity(token) is None


def test_new_password_and_removal_end_all_sessions(accounts: Accounts) -> None:
    token = signed_in(accounts)
    accounts.users.set_password("Operator", "another password", by=BY_TEST)
    assert accounts.sessions.identity(token) is None
    assert accounts.sign_in("operator", PASSWORD, address=HERE) == WrongPassword()
    token = signed_in(accounts, password="another password")
    accounts.users.remove("operator", by=BY_TEST)
    assert accounts.sessions.identity(token) is None
    assert not accounts.users.any()


def test_new_role_holds_at_once(accounts: Accounts) -> None:
    token = signed_in(accounts)
    accounts.users.set_role("operator", Role.VIEWER, by=BY_TEST)
    identity = accounts.sessions.identity(token)
    assert identity is not None
    assert identity.role is Role.VIEWER


def test_attempts_are_bounded_per_name_from_any_address(accounts: Accounts, clock: ManualClock) -> None:
    for number in range(3):
        assert accounts.sign_in("operator", "wrong", address=f"10.0.1.{number}") == WrongPassword()
        clock.advance(10)
    assert accounts.sign_in("OPERATOR", PASSWORD, address=ELSEWHERE) == Wait(30)
    clock.advance(30)
    assert isinstance(accounts.sign_in("operator", PASSWORD, address=ELSEWHERE), SignedIn)


def test_attempts_are_bounded_per_address_for_any_name(accounts: Accounts) -> None:
    for number in range(5):
        assert accounts.sign_in(f"name {number}", "wrong", address=HERE) == WrongPassword()
    assert isinstance(accounts.sign_in("operator", PASSWORD, address=HERE), Wait)
    assert isinstance(accounts.sign_in("operator", PASSWORD, address=ELSEWHERE), SignedIn)


def test_right_password_forgives_earlier_attempts(accounts: Accounts) -> None:
    for _ in range(4):
        assert accounts.sign_in("operator", "wrong", address=HERE) == WrongPassword()
        assert isinstance(accounts.sign_in("operator", PASSWORD, address=HERE), SignedIn)


def test_attempts_at_the_same_moment_do_not_exceed_the_bound(accounts: Accounts) -> None:
    together, outcomes = Barrier(8), []

    def attempt() -> None:
        together.wait()
        outcomes.append(accounts.sign_in("operator", "wrong", address=HERE))

    threads = [Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(WrongPassword()) == 3
    assert sum(isinstance(outcome, Wait) for outcome in outcomes) == 5


def test_password_changed_during_the_check_is_not_accepted(
    accounts: Accounts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Passwords.fits

    def change_meanwhile(self: Passwords, password: str, known_hash: str | None) -> bool:
        with database.writing() as connection:
            connection.execute(update(users).values(password_hash="another"))
        return checked(self, password, known_hash)

    monkeypatch.setattr(Passwords, "fits", change_meanwhile)
    assert accounts.sign_in("operator", PASSWORD, address=HERE) == WrongPassword()


def test_audit_has_who_what_and_from_where(accounts: Accounts, clock: ManualClock) -> None:
    clock.advance(1)
    token = signed_in(accounts)
    accounts.sign_in("operator", "wrong", address=ELSEWHERE)
    accounts.sign_in("my password", "wrong", address=ELSEWHERE)
    accounts.sign_out(token, address=HERE)
    rows = accounts.audit.newest(10)
    assert [(row.name, row.address, row.action, row.subject, row.status) for row in rows] == [
        ("operator", HERE, "sign out", "operator", 200),
        (None, ELSEWHERE, "sign in", "operator", 403),
        ("operator", HERE, "sign in", "operator", 200),
        ("test", "test", "test", "", 200),
    ]
    assert rows[0].at_us - rows[3].at_us == 1_000_000


def test_failed_change_leaves_no_audit_row(accounts: Accounts) -> None:
    with pytest.raises(SettingsError):
        accounts.users.remove("nobody", by=BY_TEST)
    assert len(accounts.audit.newest(10)) == 1


def test_users_are_never_confused_with_removed_ones(accounts: Accounts, database: Database) -> None:
    accounts.users.remove("operator", by=BY_TEST)
    add_users(accounts, Role.OPERATOR)
    with database.reading() as connection:
        assert connection.execute(text("SELECT user_id FROM users")).scalar_one() == 2
