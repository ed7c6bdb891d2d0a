"""Paths of this repository, for tests that read or run its files."""

from pathlib import Path

import lamina

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"
GOLDEN = REPOSITORY / "tests/golden"

# The package under test, which may be installed elsewhere, and the folder to add to another Python's path to import it.
PACKAGE = Path(lamina.__file__).parent
SOURCES = PACKAGE.parent
