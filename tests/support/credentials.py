"""Documents with credentials and helper programs, as docker and podman have them."""

from __future__ import annotations

import base64
from pathlib import Path

ANSWER = '{"ServerURL": "x", "Username": "helped", "Secret": "hunter2"}'
"""What a helper of the tests prints. The secret is the one that no message may contain."""


def encode_auth(username: str, secret: str) -> dict[str, str]:
    """Return the value of an entry of ``auths``."""
    return {"auth": base64.b64encode(f"{username}:{secret}".encode()).decode()}


def write_helper(folder: Path, name: str, script: str) -> Path:
    """Write a helper called ``name``, a shell script with its input in ``$server``, and return its file."""
    file = folder / f"docker-credential-{name}"
    file.write_text(f'#!/bin/sh\nread -r server || :\necho "$1 $server" >>"$0.calls"\n{script}\n')
    file.chmod(0o755)
    return file
