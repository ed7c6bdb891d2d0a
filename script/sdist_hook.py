"""Add a manual page for each command of lamina to an sdist. The build of the sdist runs this as a hook."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_REPOSITORY = Path(__file__).resolve().parent.parent
_FOLDER = "man"


class ManPages(BuildHookInterface[Any]):
    """Add the pages to an sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages before the sdist is made, and include them."""
        folder = Path(self.directory) / _FOLDER
        added = [str(_REPOSITORY), str(_REPOSITORY / "src")]
        sys.path[:0] = added
        try:
            from script.man_pages import write_pages

            names = write_pages(folder)
        finally:
            del sys.path[: len(added)]
        build_data["force_include"].update({str(folder / name): f"{_FOLDER}/{name}" for name in names})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the pages after the sdist is made."""
        folder = Path(self.directory) / _FOLDER
        for page in folder.glob("lamina*.1"):
            page.unlink()
        folder.rmdir()
