"""List the pages."""

from qc_dashboard.accounts.roles import Role
from qc_dashboard.pages.frame import find_frame, show_frame_page
from qc_dashboard.pages.history import PATH, show_history
from qc_dashboard.pages.live import show_live, show_wall
from qc_dashboard.pages.models import MODELS_PAGE, show_line_models, show_models_page
from qc_dashboard.pages.report import PATH as REPORT
from qc_dashboard.pages.report import show_report
from qc_dashboard.pages.review import PATH as REVIEW_PATH
from qc_dashboard.pages.review import show_review
from qc_dashboard.pages.shown import FRAME_PAGE
from qc_dashboard.web.routes import RoomRoute

ROUTES = (
    RoomRoute("/", show_live, Role.VIEWER),
    RoomRoute("/wall", show_wall, Role.VIEWER),
    RoomRoute(REVIEW_PATH, show_review, Role.OPERATOR),
    RoomRoute(MODELS_PAGE, show_models_page, Role.VIEWER),
    RoomRoute(f"{MODELS_PAGE}/{{line}}", show_line_models, Role.VIEWER),
    RoomRoute(PATH, show_history, Role.VIEWER),
    RoomRoute(REPORT, show_report, Role.VIEWER),
    RoomRoute(f"{PATH}/find", find_frame, Role.VIEWER),
    RoomRoute(f"{FRAME_PAGE}/{{topic}}/{{partition}}/{{offset}}", show_frame_page, Role.VIEWER),
)
