"""Sets up structlog once per process: JSON for machines, colours for people."""

import logging
import sys
import warnings
from typing import Literal

import structlog

LogFormat = Literal["auto", "json", "console"]


def configure_logging(level: str = "info", log_format: LogFormat = "auto") -> None:
    """Send every log line, also those of libraries, to stderr in one format."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_severity(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_handler(shared, console)], level=max(_severity(level), logging.INFO), force=True)
    # kafka-python reports every rebalance, reconnect and refused connection; our own lines report those that matter.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # Pillow logs broken images by itself; their inspections report them already.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="PIL")
    # What these say below a warning, our own lines say.
    for name in ("alembic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _handler(shared: list[structlog.typing.Processor], console: bool) -> logging.Handler:
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    tail: list[structlog.typing.Processor] = [] if console else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail, renderer],
        )
    )
    return handler


def _severity(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
