"""Files of a model store, whatever its URL."""

import fsspec

HEAD = bytes(range(256)) * 100


HOSTILE = ["../../etc", "..", ".", "", "a/b", "/etc", "a\x00b", "a\nb", ".hidden", "x" * 65, "~root", "a\\b"]


def files(url: str) -> list[str]:
    """Every file of the store, hidden ones too, relative to it."""
    file_system, root = fsspec.core.url_to_fs(url)
    return sorted(path.removeprefix(root).lstrip("/") for path in file_system.find(root))


def put(url: str, path: str, content: bytes) -> None:
    file_system, root = fsspec.core.url_to_fs(url)
    file_system.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
    file_system.pipe_file(f"{root}/{path}", content)


def remove(url: str, folder: str) -> None:
    file_system, root = fsspec.core.url_to_fs(url)
    file_system.rm(f"{root}/{folder}", recursive=True)


def file_of(url: str, path: str) -> bytes:
    file_system, root = fsspec.core.url_to_fs(url)
    return bytes(file_system.cat_file(f"{root}/{path}"))
