"""Small programs in the place of those of container engines, for what no engine of this machine does."""

from __future__ import annotations

from pathlib import Path

# Answers as dockerd does where it is another machine, and keeps the archive that it gets.
REMOTE_DOCKER = """
case "$1" in
context) echo tcp://192.0.2.1:2375 ;;
load) cat > "$FOLDER/archive.tar" ;;
*) echo "Error: unexpected: $*" >&2; exit 1 ;;
esac
"""
# Cannot reach the loopback addresses of this machine, as from a network of its own.
ISOLATED_PODMAN = """
case "$1" in
info) echo false ;;
pull) echo "Error: connection refused" >&2; exit 125 ;;
load) cat > "$FOLDER/archive.tar" ;;
*) echo "Error: unexpected: $*" >&2; exit 1 ;;
esac
"""
# Reaches the server, and fails for another reason.
FULL_PODMAN = """
case "$1" in
info) echo false ;;
pull) for last; do :; done
  python3 -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" "http://${last%%/*}/v2/" 2>/dev/null
  echo "Error: no space left on device" >&2; exit 125 ;;
*) echo "Error: unexpected: $*" >&2; exit 1 ;;
esac
"""
# Writes its commands to a file, and fails to unpack what it pulled.
FULL_CTR = """
echo "$*" >> "$FOLDER/commands"
case "$1 $2" in
"images pull") echo "ctr: no space left on device" >&2; exit 1 ;;
esac
"""


def install_program(folder: Path, name: str, script: str) -> Path:
    """Write the program ``name`` to ``folder``, where it keeps what it gets; return the folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\nFOLDER='{folder}'\n{script}")
    (folder / name).chmod(0o755)
    return folder
