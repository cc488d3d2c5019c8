"""Brokers and database go and come back while the dashboard follows."""

from tests.faults.broker_faults import AWAY_S
from tests.faults.cell import ELECTION_S
from tests.faults.dashboard.fault import DashboardFault
from tests.faults.site import Site

OUTAGE_S = 3 * AWAY_S + ELECTION_S
"""Brokers away, with what they need to come back."""


class Restarts(DashboardFault):
    """The database is killed and restarted, then the brokers, then both at once; the dashboard lives."""

    def run(self, site: Site) -> None:
        self.open_database(site)
        self._dashboard = self.dashboard(site)
        site.ready_worker()
        site.send()
        site.wait_for_more(300)
        server = self.server
        assert server is not None, "only PostgreSQL can be away"
        server.stop()
        site.wait_for_more(300)
        server.start()
        site.wait_for_more(300)
        for broker in site.cluster.brokers:
            broker.kill()
        site.hold(AWAY_S)
        server.stop()
        site.hold(AWAY_S)
        site.heal()
        site.hold(AWAY_S)
        server.start()
        site.wait_for_more(300)

    def proof(self, site: Site) -> None:
        self.counted(site)
        assert self._dashboard.process.poll() is None, "the dashboard has not lived through it"
        assert "history waits" in self._dashboard.log()
