"""Write places in the order of time as opaque text, from which a search continues."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from qc_dashboard.history.search import Place

MAX_CURSOR_LENGTH = 1024
NOT_OURS = "this is not a cursor: take `next` of the page before, unchanged"


def cursor_of(place: Place) -> str:
    """Write the place as text for URLs."""
    return urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def place_at(cursor: object) -> Place:
    """Return the place. Raises ValueError if `cursor_of` has not written the cursor."""
    if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR_LENGTH or not cursor.isascii():
        raise ValueError(NOT_OURS)
    try:
        place = Place.parse(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError:
        raise ValueError(NOT_OURS) from None
    if cursor_of(place) != cursor:
        raise ValueError(NOT_OURS)
    return place
