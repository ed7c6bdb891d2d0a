"""Move the fragments of ``changelog.d/`` into ``CHANGELOG.md``, or print what it would then contain.

    python script/changelog.py            moves them into the section of this version, and removes the files
    python script/changelog.py --print    only prints the changelog with them; the documentation site shows that

A fragment is ``changelog.d/THEME/WORDS.md``, and THEME is a key of `THEMES`; one that is directly in ``changelog.d/``
belongs to "Other changes". towncrier is not used: it writes the section of a version once, when it is released, and
cannot add to it; and it wants a type of change in the name of each fragment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import TextWrapper

_REPOSITORY = Path(__file__).resolve().parent.parent
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_NOT_RELEASED = " (not released)"
_OTHER = "Other changes"

# The folder of a fragment, and the heading under which it appears; in the order of the headings.
THEMES = {
    "images": "Images",
    "layers": "Layers",
    "scripts": "Scripts",
    "stores": "Stores",
    "registries": "Registries",
    "engines": "Serving and engines",
    "batches": "Spec files and batches",
    "inspection": "Inspection and proof",
    "nix": "Nix",
    "cli": "Command line",
    "library": "Library",
    "": _OTHER,
    "fixes": "Fixes",
}


def main(arguments: list[str]) -> None:
    """Run the script."""
    changelog = _REPOSITORY / "CHANGELOG.md"
    fragments = find_fragments(_REPOSITORY / "changelog.d")
    version = _VERSION.findall((_REPOSITORY / "src/lamina/version.py").read_text(encoding="utf-8"))[0]
    text = add_fragments(changelog.read_text(encoding="utf-8"), version, read_fragments(fragments))
    if arguments == ["--print"]:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # it is a text file here
        sys.stdout.write(text)
    elif arguments:
        sys.exit("usage: python script/changelog.py [--print]")
    else:
        changelog.write_text(text, encoding="utf-8")
        for file in fragments:
            file.unlink()


def find_fragments(folder: Path) -> list[Path]:
    """Return the fragments in ``folder`` in the order of their names."""
    return sorted(file for file in folder.rglob("*.md") if file != folder / "README.md")


def read_fragments(files: Iterable[Path]) -> dict[str, list[str]]:
    """Return the texts of fragments for each heading."""
    texts: dict[str, list[str]] = {}
    for file in files:
        theme = "" if file.parent.name == "changelog.d" else file.parent.name
        if theme not in THEMES:
            sys.exit(f"{file}: got a fragment in {theme}, expected one of {', '.join(filter(None, THEMES))}")
        texts.setdefault(THEMES[theme], []).append(file.read_text(encoding="utf-8").strip())
    return texts


def add_fragments(changelog: str, version: str, texts: Mapping[str, Iterable[str]]) -> str:
    """Return ``changelog`` with the texts of each heading at the end of its list, in the section of ``version``."""
    if not texts:
        return changelog
    before, sections = _split(changelog, "## ")
    title = version + _NOT_RELEASED
    if version in sections:
        sys.exit(f"CHANGELOG.md: got the released version {version}, expected the next one in src/lamina/version.py")
    first = sections.pop(title, "\n")
    start, lists = _split(first, "### ")
    for heading, added in texts.items():
        old = lists.get(heading, "").strip("\n")
        lists[heading] = "\n" + "\n".join(filter(None, [old, *map(_format_item, added)])) + "\n\n"
    order = [*THEMES.values()]
    first = start + "".join(f"### {name}\n{lists[name]}" for name in sorted(lists, key=order.index))
    rest = "".join(f"## {name}\n{body}" for name, body in sections.items())
    return f"{before}## {title}\n{first}{rest}".rstrip("\n") + "\n"


def _split(text: str, mark: str) -> tuple[str, dict[str, str]]:
    """Return the text before the first heading that begins with ``mark``, and that below each one by its name."""
    before, *parts = re.split(rf"^{mark}", text, flags=re.MULTILINE)
    return before, dict(part.split("\n", 1) for part in parts)


def _format_item(text: str) -> str:
    """Return a text of one or more paragraphs as an item of a list, with lines of the usual length."""
    wrap = TextWrapper(120, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "-" + "\n\n".join(wrap.fill(" ".join(part.split())) for part in text.split("\n\n"))[1:]


if __name__ == "__main__":
    main(sys.argv[1:])
