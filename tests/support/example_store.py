"""The example of the repository as a Nix store on disk, with a database.

All of its content comes from examples/cache, read through lamina's binary cache store.
"""

import json
import os
import platform
import sys
from pathlib import Path

from tests.support.fake_nix_store import FakeStore
from tests.support.paths import EXAMPLES

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink
from lamina.formats.keys import PublicKey
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.store import Store
from lamina.system.extents import open_reader

CACHE = f"file://{EXAMPLES / 'cache'}"
KEY = (EXAMPLES / "public-key").read_text().strip()
SYSTEM = "aarch64-linux" if platform.machine() in ("arm64", "aarch64") else "x86_64-linux"

_COMMAND = """\
#!{python}
import sys
from pathlib import Path
from lamina.stores import open as opening
opening.MACHINE = Path({root!r})
from lamina.cli.main import main
main()
"""


def hello(system: str = SYSTEM) -> StorePath:
    """Return the store path that the example is the closure of."""
    return StorePath.parse(json.loads((EXAMPLES / "roots.json").read_text())[system])


def example_store(root: Path, *systems: str) -> FakeStore:
    """Create a store below ``root`` that contains the closure of `hello` for ``systems``, by default this machine's."""
    store = FakeStore(root)
    access = StoreAccess(trust=lambda: Trust((PublicKey.parse(KEY),)))
    with access.resources:
        cache = open_stores([CACHE], access)
        closure = Closure.resolve([hello(system) for system in systems or (SYSTEM,)], cache.query)
        for info in closure:
            unpack(cache, info.path, store.location(info.path))
            store.register(info.path)
    with store.writing() as database:
        references = [(info.path, reference) for info in closure for reference in info.references]
        numbers = [(store.numbers[path], store.numbers[reference]) for path, reference in references]
        database.executemany("INSERT INTO Refs VALUES (?, ?)", numbers)
    return store


def unpack(store: Store, path: StorePath, location: Path) -> None:
    """Write the tree of ``path`` to ``location``, as Nix would."""
    for node in store.nodes(path):
        _write(node, os.path.join(os.fsencode(location), node.path) if node.path else os.fsencode(location))


def _write(node: Node, location: bytes) -> None:
    match node:
        case Directory():
            os.mkdir(location)
        case Symlink():
            os.symlink(node.target, location)
        case Regular(content=Extent() as content):
            with open_reader(content) as read:
                Path(os.fsdecode(location)).write_bytes(read(0, content.length))
            os.chmod(location, 0o555 if node.executable else 0o444)


def write_command(file: Path, root: Path) -> None:
    """Write an executable ``lamina`` that takes ``root`` as the root of the machine, with the Nix store below it."""
    file.write_text(_COMMAND.format(python=sys.executable, root=str(root)))
    os.chmod(file, 0o755)
