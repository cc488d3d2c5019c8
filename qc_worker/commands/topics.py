"""`qc-worker topics`: create or check the five topics."""

from dataclasses import asdict

from qc_worker.observability.printing import console, multiline, print_json, print_table
from qc_worker.settings import Settings
from qc_worker.transport.kafka.codecs import missing_codecs
from qc_worker.transport.kafka.topics import (
    TopicPlan,
    TopicReport,
    TopicState,
    check_topics,
    ensure_topics,
    plan_topics,
)
from qc_worker.wiring.shared import kafka_access

WRONG = (TopicState.MISSING, TopicState.DIFFERS)


def topic_plans(settings: Settings) -> tuple[TopicPlan, ...]:
    """The topics as the settings want them."""
    return plan_topics(
        images=settings.images_topic,
        results=settings.results_topic,
        dead_letters=settings.dead_letter_topic,
        feedback=settings.feedback_topic,
        models=settings.models_topic,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
    )


def prepare_topics(settings: Settings, *, check_only: bool, as_json: bool) -> int:
    """Create what is missing unless told to check only; 1 if a topic is not as it should be. Raises TransportError."""
    act = check_topics if check_only else ensure_topics
    reports = act(kafka_access(settings), topic_plans(settings))
    if as_json:
        print_json({"topics": [asdict(report) for report in reports]})
    else:
        _print(reports)
        if codecs := missing_codecs():
            console(stderr=True).print(f"not installed: {', '.join(codecs)}: frames in these codecs cannot be read")
    return int(any(report.state in WRONG for report in reports))


def _print(reports: list[TopicReport]) -> None:
    rows = [
        (report.name, report.state.value, multiline(report.differences), multiline(report.remedies))
        for report in reports
    ]
    print_table(("topic", "state", "differences", "to mend it"), rows)
