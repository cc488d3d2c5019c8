"""`qc-worker account`: print the account of all frames."""

from contextlib import closing
from datetime import UTC, datetime

from qc_worker.audit.accountant import CLOCK_SLACK, Accountant, AuditedTopics
from qc_worker.commands.account_report import account_document, print_account
from qc_worker.commands.reports import TerminalProgress
from qc_worker.domain import names
from qc_worker.domain.errors import SettingsError
from qc_worker.observability.printing import print_json
from qc_worker.settings import Settings
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.wire.headers import parse_time
from qc_worker.wiring.brokers import kafka_access


def account_for_frames(settings: Settings, *, since: str | None, line: str | None, as_json: bool) -> int:
    """Print the account; return 1 if it does not balance, else 0. Raises QcError."""
    since_time = _checked(since, line)
    topics = AuditedTopics(settings.images_topic, settings.results_topic, settings.dead_letter_topic)
    with closing(KafkaBooks(kafka_access(settings))) as books:
        accountant = Accountant(books, topics, group=settings.consumer_group, line=line, progress=TerminalProgress())
        account = accountant.account(since_time)
    if as_json:
        print_json(account_document(account))
    else:
        print_account(account)
    return int(not account.balance.clean)


def _checked(since: str | None, line: str | None) -> datetime | None:
    try:
        if line is not None:
            names.line_name(line)
    except ValueError as error:
        raise SettingsError(f"--line: {error}") from None
    return _time(since) if since is not None else None


def _time(since: str) -> datetime:
    try:
        # Brokers know no time before 1970.
        return max(parse_time(since), datetime.fromtimestamp(0, UTC) + CLOCK_SLACK)
    except (ValueError, OverflowError, OSError):
        expected = "ISO 8601 with an offset, as 2026-11-23T06:00:00+01:00, or milliseconds since 1970"
        raise SettingsError(f"--since {since[:80]!r} is not a time: give {expected}") from None
