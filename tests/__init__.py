"""Tests of worker, trainer and dashboard; several processes may run them at once."""

import os

from qc_worker.runtime.cores_and_memory import SPIN_COUNT

# As the commands do, and before torch is imported: compute threads that wait must not take the cores from another
# process of the tests.
os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
