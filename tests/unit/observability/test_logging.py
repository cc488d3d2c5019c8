import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from qc_worker.observability.logging import configure_logging
configure_logging("info", "{log_format}")
log = structlog.get_logger()
log.debug("too quiet")
log.info("model taken up", line="A")
logging.getLogger("somelibrary").warning("careful")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def logged(log_format: str) -> list[str]:
    program = PROGRAM.format(log_format=log_format)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines_off_a_terminal() -> None:
    lines = [json.loads(line) for line in logged("auto")]
    assert [line["event"] for line in lines] == ["model taken up", "careful", "broken"]
    assert lines[0]["line"] == "A"
    assert lines[0]["level"] == "info"
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_lines_for_people_where_asked() -> None:
    assert any("model taken up" in line and not line.startswith("{") for line in logged("console"))
