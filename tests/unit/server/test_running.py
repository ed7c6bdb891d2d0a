"""The sockets of the server."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest

from lamina.errors import OutputError
from lamina.server.running import listen


def test_small_answers_are_sent_at_once() -> None:
    """Otherwise the body of an answer would wait until the client has confirmed its headers: 40 ms on Linux."""
    no_delay: list[int] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        no_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def connect() -> None:
        async with await asyncio.start_server(accept, sock=listen("127.0.0.1", 0)) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()

    asyncio.run(connect())
    assert no_delay == [1]


def test_an_address_that_is_not_of_this_machine_is_refused() -> None:
    with pytest.raises(OutputError, match="expected an address to listen on"):
        listen("192.0.2.1", 0)
    with closing(listen("127.0.0.1", 0)) as taken, pytest.raises(OutputError):
        listen("127.0.0.1", taken.getsockname()[1])
