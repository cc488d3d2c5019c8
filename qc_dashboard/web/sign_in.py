"""Serve the pages for signing in and out."""

from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from qc_dashboard.accounts.accounts import SignedIn
from qc_dashboard.accounts.attempts import Wait
from qc_dashboard.accounts.roles import Role
from qc_dashboard.web.cookies import SESSION, VISIT, delete_cookie, read_cookie, set_cookie
from qc_dashboard.web.csrf import csrf_token
from qc_dashboard.web.guard import SIGN_IN
from qc_dashboard.web.rendering import render
from qc_dashboard.web.requests import identity_of, known_identity, peer, web_of
from qc_dashboard.web.routes import EVERYONE, AccountRoute, RoomRoute

START = "/"
WRONG = "Name or password is wrong."
NOT_PROTECTED = (
    "Nobody can sign in over plain HTTP: others in the network could read the password. Open the page with https://, "
    "or at the server itself. If a proxy has TLS, its address belongs into QC_TRUSTED_PROXIES."
)


async def show_sign_in(request: Request) -> Response:
    """Show the form; who is signed in already goes on."""
    request.state.identity = await run_in_threadpool(web_of(request).door.identify, request)
    if known_identity(request) is not None:
        return RedirectResponse(local_path(request.query_params.get("next")), status_code=HTTPStatus.SEE_OTHER)
    return await _form(request, next_path=request.query_params.get("next"))


async def sign_in(request: Request) -> Response:
    """Check name and password; the session is a new one in any case."""
    form = await request.form()
    name, password, next_path = (_text(form.get(field)) for field in ("name", "password", "next"))
    if not peer(request).is_protected:
        return await _form(request, next_path=next_path, name=name, status=HTTPStatus.BAD_REQUEST)
    accounts = web_of(request).door.accounts
    outcome = await run_in_threadpool(
        accounts.sign_in, name, password, address=peer(request).address, instead_of=read_cookie(request, SESSION)
    )
    if isinstance(outcome, SignedIn):
        request.state.identity = outcome.identity
        response = RedirectResponse(local_path(next_path), status_code=HTTPStatus.SEE_OTHER)
        set_cookie(request, response, SESSION, outcome.token, max_age_s=accounts.sessions.limits.total_s)
        delete_cookie(request, response, VISIT)
        return response
    if isinstance(outcome, Wait):
        failure, status = too_many(outcome), HTTPStatus.TOO_MANY_REQUESTS
        headers = {"Retry-After": str(outcome.seconds)}
        return await _form(request, next_path=next_path, name=name, failure=failure, status=status, headers=headers)
    return await _form(request, next_path=next_path, name=name, failure=WRONG, status=HTTPStatus.FORBIDDEN)


async def sign_out(request: Request) -> Response:
    """End the session."""
    token = read_cookie(request, SESSION)
    if token:
        accounts = web_of(request).door.accounts
        await run_in_threadpool(accounts.sign_out, token, address=peer(request).address)
    response = RedirectResponse(SIGN_IN, status_code=HTTPStatus.SEE_OTHER)
    delete_cookie(request, response, SESSION)
    return response


def show_session(request: Request) -> Response:
    """Tell a program who it is, and the token that its writes must carry."""
    identity = identity_of(request)
    who = {"name": identity.name, "role": identity.role, "proof": identity.proof}
    return JSONResponse({**who, "csrf_token": csrf_token(request)})


ACCOUNT_ROUTES: tuple[RoomRoute, ...] = (
    AccountRoute(SIGN_IN, show_sign_in, EVERYONE),
    AccountRoute(SIGN_IN, sign_in, EVERYONE, methods=("POST",)),
    AccountRoute("/sign-out", sign_out, EVERYONE, methods=("POST",)),
    RoomRoute("/api/v1/session", show_session, Role.VIEWER),
)


def local_path(text: str | None) -> str:
    """Return the path if it is one of ours, else the start: a link to us must not lead people elsewhere."""
    is_local = text is not None and text.startswith("/") and not text.startswith(("//", "/\\"))
    printable = is_local and text is not None and text.isascii() and text.isprintable() and "\\" not in text
    return text if printable and text is not None else START


def too_many(wait: Wait) -> str:
    """Say when the next attempt is possible."""
    minutes = -(-wait.seconds // 60)
    return f"Too many attempts failed. Try again in {minutes} minute{'s' if minutes > 1 else ''}."


async def _form(
    request: Request,
    *,
    next_path: str | None,
    name: str = "",
    failure: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    context = {
        "next": local_path(next_path),
        "name": name[:100],
        "failure": failure if peer(request).is_protected else NOT_PROTECTED,
        "protected": peer(request).is_protected,
        "has_users": await run_in_threadpool(web_of(request).door.has_users),
        "by_proxy": bool(web_of(request).door.entrance.trusted_header),
    }
    return await run_in_threadpool(render, request, "sign_in.html", context, status=status, headers=headers)


def _text(field: object) -> str:
    return field if isinstance(field, str) else ""
