"""`qc-worker topics`: create or check the six topics."""

from dataclasses import asdict

from qc_worker.observability.printing import console, multiline, print_json, print_table
from qc_worker.settings import Settings
from qc_worker.transport.kafka.codecs import missing_codecs
from qc_worker.transport.kafka.topics import TopicReport, TopicState, check_topics, ensure_topics
from qc_worker.wiring.brokers import kafka_access, topic_plans

WRONG = (TopicState.MISSING, TopicState.DIFFERS)


def prepare_topics(settings: Settings, *, check_only: bool, as_json: bool) -> int:
    """Create missing topics, or only check; return 1 if one is missing or differs, else 0. Raises TransportError."""
    act = check_topics if check_only else ensure_topics
    reports = act(kafka_access(settings), topic_plans(settings))
    if as_json:
        print_json({"topics": [asdict(report) for report in reports]})
    else:
        _print(reports)
        if codecs := missing_codecs():
            console(stderr=True).print(
                f"frames compressed with {', '.join(codecs)} cannot be read: the packages are not installed"
            )
    return int(any(report.state in WRONG for report in reports))


def _print(reports: list[TopicReport]) -> None:
    rows = [
        (report.name, report.state.value, multiline(report.differences), multiline(report.remedies))
        for report in reports
    ]
    print_table(("topic", "state", "differences", "remedies"), rows)
