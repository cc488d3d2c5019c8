"""A wall clock that leaps, for processes started with it."""

import shutil
import struct
import subprocess
from pathlib import Path

from tests.conftest import skip_on_a_laptop

SOURCE = Path(__file__).with_name("leaping_clock.c")


class LeapingClock:
    """Compiled for the test; processes with this `environment` see the wall clock as `leap` sets it."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            skip_on_a_laptop("needs a C compiler")
        self._offset, library = folder / "clock-offset", folder / "leaping_clock.so"
        self._offset.write_bytes(bytes(8))
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "QC_TEST_CLOCK_OFFSET": str(self._offset)}

    def leap(self, offset_s: int) -> None:
        """Set the clock so far off the right time."""
        with self._offset.open("r+b") as file:  # in place: the processes have it mapped
            file.write(struct.pack("=q", offset_s))
