"""Servers on this machine that hang, drip or never end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

OK = b'HTTP/1.0 200 OK\r\n'
Send = Callable[[bytes], None]


def drip(send: Send, text: bytes) -> None:
    for byte in text * 1000:
        send(bytes([byte]))
        time.sleep(0.05)


def slow_body(send: Send) -> None:
    send(OK + b'Content-Length: 1000000\r\n\r\n')
    drip(send, b'x')


def slow_header(send: Send) -> None:
    send(OK)
    drip(send, b'X-Header: 1\r\n')


def slow_chunks(send: Send) -> None:
    send(OK.replace(b'1.0', b'1.1') + b'Transfer-Encoding: chunked\r\n\r\n')
    drip(send, b'1\r\nx\r\n')


def silent(send: Send) -> None:
    time.sleep(30)


def endless(send: Send) -> None:
    send(OK + b'\r\n')
    while True:
        send(bytes(1 << 16))


def announced(send: Send) -> None:
    send(OK + b'Content-Length: 99999999999999\r\n\r\n' + bytes(100))


def truncated(send: Send) -> None:
    send(OK + b'Content-Length: 1000\r\n\r\n' + bytes(999))


def no_length(send: Send) -> None:
    send(OK + b'Content-Length: many\r\n\r\nweights')


def no_http(send: Send) -> None:
    send(b'\x00' * 100)


@contextlib.contextmanager
def serving(answer: Callable[[Send], None]) -> Iterator[str]:
    """Answer each request on this machine; yields the URL."""
    with socket.create_server(('127.0.0.1', 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the client has gone, or the test is over
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=reply, args=(connection,), daemon=True).start()

        def reply(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                connection.recv(1000)
                answer(connection.sendall)

        threading.Thread(target=serve, daemon=True).start()
        yield f'http://127.0.0.1:{server.getsockname()[1]}/weights'
