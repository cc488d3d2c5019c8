"""Simulate a slow or cut network with a TCP proxy on loopback; a cut drops bytes without any error."""

import socket
import time
from contextlib import suppress
from threading import Event, Thread

from qc_worker.embedded.server import LOOPBACK

CHUNK_BYTES = 1 << 16


class Proxy:
    """Forwards every connection to a port of this machine until it is closed."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._whole = Event()
        self._whole.set()
        self._sockets: list[socket.socket] = []
        self.delay_s = 0.0
        """Delay of each direction, seconds; may be changed at any time."""
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop bytes in both directions, as behind a switch without power: no reset, no answer."""
        self._whole.clear()

    def mend(self) -> None:
        """Forward bytes again; reset older connections, since they have lost bytes."""
        self._whole.set()
        self._reset()

    def close(self) -> None:
        self._listener.close()
        self._reset()

    def _reset(self) -> None:
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._sockets.append(client)
        try:
            self._whole.wait()
            server = socket.create_connection((LOOPBACK, self._target_port))
        except OSError:
            client.close()
            return
        self._sockets.append(server)
        Thread(target=self._pass_on, args=(client, server), daemon=True).start()
        self._pass_on(server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                time.sleep(self.delay_s)
                if self._whole.is_set():
                    target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
