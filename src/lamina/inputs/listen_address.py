"""Addresses that a server listens on: ``HOST:PORT``, ``[::1]:PORT`` or ``PORT``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr

_ADDRESS = re.compile(r"(?:(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):)?(?P<port>[0-9]{1,5})")
_LOOPBACK, _LOCALHOST = "127.0.0.1", "localhost"
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on.

    Attributes:
        host: the name or the IP address of an interface of this machine.
        port: the port; 0 for any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, name: str, text: str) -> ListenAddress:
        """Parse an address; a port alone is on loopback. Raises `InvalidArgument`."""
        found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
        if not found or int(found["port"]) > _MAX_PORT:
            raise InvalidArgument(name, short_repr(text), "HOST:PORT, such as 127.0.0.1:5000 or [::1]:5000")
        return cls(found["six"] or found["host"] or _LOOPBACK, int(found["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine reach it."""
        if self.host == _LOCALHOST:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
