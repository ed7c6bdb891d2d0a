"""Where the files of this repository are, for tests that read or run them."""

from pathlib import Path

import lamina

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"
GOLDEN = REPOSITORY / "tests/golden"

# The package under test, which may be installed elsewhere, and the folder to put on another Python's path for it.
PACKAGE = Path(lamina.__file__).parent
SOURCES = PACKAGE.parent
