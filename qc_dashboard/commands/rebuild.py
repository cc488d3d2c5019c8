"""`qc-dashboard rebuild`: make the history again from the topics."""

from collections.abc import Iterable
from dataclasses import asdict
from time import monotonic

from rich.console import Console
from rich.progress import track

from qc_dashboard.history.rebuilding import Rebuild, Rebuilt
from qc_dashboard.history.writing import HistoryWriter
from qc_dashboard.projecting.reading import Progress
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.wiring.dashboard import migrated_database
from qc_dashboard.wiring.following import WholeTopics, whole_topics
from qc_worker.domain.frame import Record
from qc_worker.observability.printing import print_json, print_table
from qc_worker.runtime.failpoints import arm


def rebuild_history(settings: DashboardSettings, *, forget_older: bool, as_json: bool) -> None:
    """Rebuild, and print what the history consists of then. Raises QcError."""
    arm(settings.failpoints)
    began_s = monotonic()
    with migrated_database(settings) as database, whole_topics(settings) as topics:
        rebuild, writer = Rebuild(database), HistoryWriter(database)
        rebuilt = _rebuilt(topics, rebuild, forget_older=forget_older)
        _add_rest(topics, writer)
    document = {**asdict(rebuilt), "seconds": round(monotonic() - began_s, 1)}
    if as_json:
        print_json(document)
    else:
        print_table(("history", "count"), [(name, str(figure)) for name, figure in document.items()], right=(1,))


def _rebuilt(topics: WholeTopics, rebuild: Rebuild, *, forget_older: bool) -> Rebuilt:
    span = topics.results.span()
    rebuild.begin()
    for batch in topics.results.batches(span, TerminalProgress()):
        rebuild.add(batch)
    return rebuild.exchange(span.starts, span.ends, forget_older=forget_older)


def _add_rest(topics: WholeTopics, writer: HistoryWriter) -> None:
    """Add releases, feedback and its outcomes that are missing; those that are there have keys, and stay."""
    progress: Progress = TerminalProgress()
    for releases in topics.models.batches(topics.models.span(), progress):
        writer.add_releases(releases)
    for feedback in topics.feedback.batches(topics.feedback.span(), progress):
        writer.add_feedback(feedback)
    for collected in topics.samples.batches(topics.samples.span(), progress):
        writer.add_collected(collected)


class TerminalProgress:
    """Shows progress bars on stderr, on a terminal only."""

    def reading(self, records: Iterable[Record], title: str, *, total: int) -> Iterable[Record]:
        console = Console(stderr=True)
        hidden = not console.is_terminal
        return track(records, title, total, console=console, transient=True, disable=hidden)
