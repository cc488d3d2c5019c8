"""Make and check the token that every write carries, so that no other site can write in the name of a visitor.

The token is an HMAC of the session, or of a secret cookie for browsers without one. Each page masks it anew, so that
the length of a compressed page tells nothing about it (BREACH).
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.web.cookies import SESSION, VISIT, read_cookie, set_cookie
from qc_dashboard.web.problems import Problem

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
TOKEN_BYTES = 32
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
OURS = frozenset({"same-origin", "none"})
REFUSED = "The page was open for too long, or the request came from another site. Load the page again and repeat it."


def csrf_token(request: Request) -> str:
    """Return a token for the pages of this browser; it gets its secret cookie with the answer if it has none."""
    token = _token(_secret(request) or _new_secret(request))
    mask = secrets.token_bytes(TOKEN_BYTES)
    return urlsafe_b64encode(mask + _xor(mask, token)).decode()


def keep_secret(request: Request, response: Response) -> None:
    """Set the cookie that the tokens of this answer belong to, if it is new."""
    if fresh := getattr(request.state, "new_csrf_secret", None):
        set_cookie(request, response, VISIT, fresh)


async def check_csrf(request: Request) -> None:
    """Check origin and token of a write. Raises Problem."""
    secret = _secret(request)
    if secret is None or not _is_same_origin(request):
        raise Problem(403, REFUSED)
    given = request.headers.get(HEADER) or await _form_field(request)
    if not hmac.compare_digest(_unmasked(given), _token(secret)):
        raise Problem(403, REFUSED)


def _secret(request: Request) -> str | None:
    return read_cookie(request, SESSION) or read_cookie(request, VISIT)


def _new_secret(request: Request) -> str:
    if not hasattr(request.state, "new_csrf_secret"):
        request.state.new_csrf_secret = secrets.token_urlsafe(TOKEN_BYTES)
    return str(request.state.new_csrf_secret)


def _token(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"csrf", hashlib.sha256)


def _unmasked(text: str) -> bytes:
    try:
        both = urlsafe_b64decode(text)
    except ValueError:
        return b""
    return _xor(both[:TOKEN_BYTES], both[TOKEN_BYTES:]) if len(both) == 2 * TOKEN_BYTES else b""


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


async def _form_field(request: Request) -> str:
    if not request.headers.get("content-type", "").startswith(FORMS):
        return ""
    field = (await request.form()).get(FIELD)
    return field if isinstance(field, str) else ""


def _is_same_origin(request: Request) -> bool:
    """Believe the browser about where the request comes from; programs say nothing, and need the token all the same."""
    if site := request.headers.get("sec-fetch-site"):
        return site in OURS
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
