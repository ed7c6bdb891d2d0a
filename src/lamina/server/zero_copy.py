"""Let the kernel send parts of files, which never pass through this process (sendfile(2)).

uvicorn lacks the extension "Zero Copy Send" of ASGI. This adds it to its class for connections: h11 counts the bytes of
a part as if they were sent by it, and asyncio sends them. It is offered without TLS only, which has to encrypt in this
process.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11

from lamina.errors import Unavailable
from lamina.server import connections
from lamina.server.asgi import ZERO_COPY, Receive, Scope, Send
from lamina.server.connections import ClientConnection
from lamina.server.http_messages import FilePart

_TIMED_SIZE = 1 << 20
"""For how many bytes a client has the time of `connections.READ_TIMEOUT`; asyncio reports nothing in between."""


class SendfileConnection(ClientConnection):
    """A connection of a client, with the extension `ZERO_COPY` unless it uses TLS."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        plain = self.app

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["scheme"] == "http":
                scope.setdefault("extensions", {})[ZERO_COPY] = {}
            await plain(cast("Any", scope), cast("Any", receive), cast("Any", _Sender(self, send).send))

        self.app: Any = answer


class _Sender:
    """Sends the messages of one answer over the connection of ``protocol``."""

    def __init__(self, protocol: ClientConnection, send: Send) -> None:
        self._protocol = protocol
        self._cycle = protocol.cycle
        self._send = send

    async def send(self, message: Any) -> None:
        if message["type"] == ZERO_COPY:
            await self._send_part(message["file"])
        else:
            await self._send(message)

    async def _send_part(self, part: FilePart) -> None:
        """Send a part of a file.

        Raises:
            ConnectionError: the client left, or does not read.
            Unavailable: the file is shorter than it was.

        """
        self._check_client()
        # h11 passes data of any type on if it has a length. With a Content-Length there is nothing else to send.
        for data in self._protocol.conn.send_with_data_passthrough(h11.Data(data=cast("bytes", part))) or ():
            if data is not cast("Any", part):
                self._protocol.transport.write(data)
                continue
            for piece in part.split(_TIMED_SIZE):
                await self._send_in_time(piece)
                self._check_client()

    async def _send_in_time(self, piece: FilePart) -> None:
        """Send a piece, and cut the connection if the client does not take it within `connections.READ_TIMEOUT`."""
        try:
            async with asyncio.timeout(connections.READ_TIMEOUT):
                await self._send_piece(piece)
        except TimeoutError as error:
            self._protocol.transport.abort()
            raise ConnectionAbortedError from error

    async def _send_piece(self, piece: FilePart) -> None:
        protocol, file = self._protocol, cast("Any", piece)
        try:
            sent = await protocol.loop.sendfile(protocol.transport, file, piece.offset, piece.size, fallback=False)
        except asyncio.SendfileNotAvailableError:
            # Nothing was sent: the file system cannot do it, or the client left, which the transport notices now.
            protocol.transport.write(bytes(piece))
            if protocol.flow.write_paused:
                await protocol.flow.drain()
            return
        if sent < piece.size:
            raise Unavailable("file", f"{piece.offset + sent} bytes", "more")

    def _check_client(self) -> None:
        if self._cycle.disconnected or self._protocol.transport.is_closing():
            raise ConnectionResetError
