"""List the pages."""

from qc_dashboard.accounts.roles import Role
from qc_dashboard.pages.live import show_live, show_wall
from qc_dashboard.web.routes import RoomRoute

ROUTES = (
    RoomRoute("/", show_live, Role.VIEWER),
    RoomRoute("/wall", show_wall, Role.VIEWER),
)
