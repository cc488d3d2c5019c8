"""Serve scripts, styles and pictures from memory, under a path that names their content, so that browsers keep them.

The path has one digest of all files, not one for each: scripts may then import each other by relative paths.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.web.problems import Problem

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static"
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
"""For a path of another version, such as from a page that is open since before an upgrade."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".md": "text/markdown"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory."""

    content: bytes
    media_type: str
    etag: str


class StaticFiles:
    """All files of a folder, as they were at the start."""

    def __init__(self, folder: Path = FOLDER) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
        everything = hashlib.sha256()
        for name, file in self._files.items():
            everything.update(f"{name}\0{file.etag}\0".encode())
        self._digest = everything.hexdigest()[:16]

    def url(self, name: str) -> str:
        """Return the path of a file. Raises KeyError."""
        if name not in self._files:
            raise KeyError(name)
        return f"{PREFIX}/{self._digest}/{name}"

    def answer(self, request: Request) -> Response:
        """Answer with the file, or 304 if the browser has it. Raises Problem."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise Problem(404, "There is no such file.")
        is_current = request.path_params["digest"] == self._digest
        headers = {"Cache-Control": IMMUTABLE if is_current else REVALIDATE, "ETag": file.etag}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if file.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return StaticFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
