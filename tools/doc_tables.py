"""Generate the tables of the documents that come from the code: settings, metrics, the model card, fixes ...

Run as `python -m tools.doc_tables [--check]`.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qc_dashboard.settings import DashboardSettings
from qc_worker.observability import metrics
from qc_worker.settings import OR_AUTO, Settings
from qc_worker.simplenet.card import ModelCard
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.transport.kafka_fixes.register import fixes_table
from trainer.fitting.defaults import BACKBONE_DEFAULTS, BackboneDefaults

REPOSITORY = Path(__file__).parents[1]


def main(arguments: list[str]) -> int:
    """Write the tables into their pages, or check that they are current; return 1 if a check found a stale page."""
    stale = [page for page in TABLES if with_tables(page) != (REPOSITORY / page).read_text(encoding="utf-8")]
    if "--check" in arguments:
        sys.stderr.writelines(f"error: the tables of {page} are stale; run `make docs`\n" for page in stale)
        return int(bool(stale))
    for page in stale:
        (REPOSITORY / page).write_text(with_tables(page), encoding="utf-8")
    return 0


def with_tables(page: str) -> str:
    """Return the page with current tables, each between its two marks."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for name, table in TABLES[page].items():
        begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- {name}: end -->"
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def settings_table() -> str:
    """Make one row per setting; the environment variable is QC_ and the setting's name in capitals."""
    rows = ((f"`{name}`", f"`QC_{name.upper()}`", default, meaning) for name, default, meaning in _fields(Settings))
    return _table(("`qc.toml`", "environment", "default", "meaning"), rows)


def dashboard_settings_table() -> str:
    """Make one row per setting that the dashboard alone has; in qc.toml they stand in the table `[dashboard]`."""
    own = [row for row in _fields(DashboardSettings) if row[0] not in Settings.model_fields]
    rows = ((f"`{name}`", f"`QC_{name.upper()}`", default, meaning) for name, default, meaning in own)
    return _table(("`[dashboard]`", "environment", "default", "meaning"), rows)


def metrics_table() -> str:
    """Make one row per metric, in the order of the code."""
    collectors = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    return _table(("metric", "kind", "labels", "meaning"), map(_metric, collectors))


def card_table() -> str:
    """Make one row per field of the model card."""
    return _table(("field", "meaning"), ((f"`{name}`", meaning) for name, _, meaning in _fields(ModelCard)))


def training_table() -> str:
    """Make one row per setting of a fit, with the default that holds for every backbone without one of its own."""
    rows = ((f"`{name}`", default, meaning) for name, default, meaning in _fields(FitSettings))
    return _table(("setting", "default", "meaning"), rows)


def backbones_table() -> str:
    """Make one row per backbone with defaults of its own; of the fit's settings those in which backbones differ."""
    all_of = {
        backbone: {
            **{field.name: getattr(defaults, field.name) for field in fields(BackboneDefaults)},
            **dict(defaults.fit),
        }
        for backbone, defaults in BACKBONE_DEFAULTS.items()
    }
    differing = [name for name in FitSettings.model_fields if len({each[name] for each in all_of.values()}) > 1]
    names = [field.name for field in fields(BackboneDefaults) if field.name != "fit"] + differing
    rows = ((f"`{backbone}`", *(str(each[name]) for name in names)) for backbone, each in all_of.items())
    return _table(("backbone", *(f"`{name}`" for name in names)), rows)


TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/reference/settings.md": {"settings": settings_table, "dashboard settings": dashboard_settings_table},
    "docs/reference/monitoring.md": {"metrics": metrics_table},
    "docs/reference/backbones.md": {"backbones": backbones_table},
    "docs/reference/model-card.md": {"card": card_table, "training": training_table},
    "ARCHITECTURE.md": {"kafka fixes": fixes_table},
}


def _fields(model: type[BaseModel]) -> Iterable[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        yield name, _default(field), " ".join((field.description or "").split())


def _default(field: FieldInfo) -> str:
    if OR_AUTO in field.metadata:
        return "`auto`"
    default = field.default
    if default is PydanticUndefined and field.annotation is Path:
        return "the user's data folder"
    if default is PydanticUndefined:
        default = field.get_default(call_default_factory=True) or None
    if isinstance(default, dict):
        return f"`{{{', '.join(f'{name} = {value}' for name, value in default.items())}}}`"
    return "none" if default in (None, "") else f"`{default}`"


def _metric(collector: MetricWrapperBase) -> tuple[str, ...]:
    kind = str(collector._type)
    suffix = "_total" if kind == "counter" else ""
    labels = ", ".join(f"`{label}`" for label in collector._labelnames)
    return f"`{collector._name}{suffix}`", kind, labels, collector._documentation


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
