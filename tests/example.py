"""The example of the repository as a store on disk, with a database.

Invariant: everything in it came out of examples/cache.
"""

import json
import os
import platform
import sys
from pathlib import Path

from examples.unpack_cache import EXAMPLES, closure, unpack
from tests.fakestore import FakeStore

from lamina.names import StorePath

SYSTEM = "aarch64-linux" if platform.machine() in ("arm64", "aarch64") else "x86_64-linux"

_COMMAND = """\
#!{python}
import sys
from pathlib import Path
from lamina.stores import opening
opening.MACHINE = Path({root!r})
from lamina.cli.main import main
main()
"""


def hello(system: str = SYSTEM) -> StorePath:
    """The root of the example."""
    return StorePath.parse(json.loads((EXAMPLES / "roots.json").read_text())[system])


def example_store(root: Path, system: str = SYSTEM) -> FakeStore:
    """The closure of `hello`, below ``root``."""
    store = FakeStore(root)
    found = {item.info.path: item for item in closure(hello(system))}
    for item in found.values():
        unpack(item, root / "nix/store")
        store.register(item.info.path)
    with store.writing() as database:
        database.executemany(
            "INSERT INTO Refs VALUES (?, ?)",
            [
                (store.numbers[path], store.numbers[reference])
                for path, item in found.items()
                for reference in item.info.references
            ],
        )
    return store


def write_command(file: Path, root: Path) -> None:
    """An executable ``lamina`` whose machine has its store below ``root``."""
    file.write_text(_COMMAND.format(python=sys.executable, root=str(root)))
    os.chmod(file, 0o755)
