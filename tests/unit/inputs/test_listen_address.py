"""Addresses to listen on, and whether other machines reach them."""

from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs.listen_address import ListenAddress


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("127.0.0.1:5000", "127.0.0.1", 5000, True),
        ("127.8.9.1:0", "127.8.9.1", 0, True),
        ("[::1]:5000", "::1", 5000, True),
        ("localhost:80", "localhost", 80, True),
        ("5000", "127.0.0.1", 5000, True),
        ("0.0.0.0:65535", "0.0.0.0", 65535, False),
        ("[::]:80", "::", 80, False),
        ("10.0.0.1:80", "10.0.0.1", 80, False),
        ("localhost.example.org:80", "localhost.example.org", 80, False),
    ],
)
def test_an_address_is_parsed(text: str, host: str, port: int, is_loopback: bool) -> None:
    address = ListenAddress.parse("--listen", text)
    assert (address.host, address.port, address.is_loopback) == (host, port, is_loopback)
    assert ListenAddress.parse("--listen", str(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":5000", "host", "host:", "host:70000", "::1:80", "[::1]", "a b:1", "h:1\n", "h:٣"]
)
def test_all_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"--listen: got .*, expected HOST:PORT"):
        ListenAddress.parse("--listen", text)
