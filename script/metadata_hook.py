"""Give the package its long description: the README without what only works in the repository.

Every build of a package runs this as a hook. Package indexes show the README without the files beside it, so the
picture is left out, and links to files become plain text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)\n*")
_RELATIVE_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:)[^)]*\)")


class LongDescription(MetadataHookInterface):
    """Set the field ``readme`` of the package."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the text to ``metadata``."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": make_description(text)}


def make_description(readme: str) -> str:
    """Return ``readme`` without pictures, and with the words of each relative link instead of the link."""
    return _RELATIVE_LINK.sub(r"\1", _IMAGE.sub("", readme))
