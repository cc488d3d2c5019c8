"""`qc-worker topics`: create or check the five topics."""

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from qc_worker.commands.reports import print_json
from qc_worker.settings import Settings
from qc_worker.transport.codecs import missing_codecs
from qc_worker.transport.topics import TopicPlan, TopicReport, TopicState, check_topics, ensure_topics, plan_topics
from qc_worker.wiring import kafka_access

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
            Console(stderr=True).print(f"not installed: {', '.join(codecs)}: frames in these codecs cannot be read")
    return int(any(report.state in WRONG for report in reports))


def _print(reports: list[TopicReport]) -> None:
    table = Table("topic", "state", "differences", "to mend it")
    for report in reports:
        table.add_row(report.name, report.state, "\n".join(report.differences), "\n".join(report.remedies))
    Console().print(table)
