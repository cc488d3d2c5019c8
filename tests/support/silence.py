"""An address where somebody listens and nobody answers, as a broker behind a switch without power."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_address() -> Iterator[tuple[str, socket.socket]]:
    """Listen on a free port of this machine; yield `host:port`, and the socket that accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}", listening
