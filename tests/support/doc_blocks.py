"""The code blocks of all pages, and which of them no test runs.

A block with commands or with Python is run by ``tests/integration/test_docs_commands.py``, page by page and in order,
unless one of these says otherwise:

- the line above it is ``<!-- not run: REASON -->``;
- its page is in `RUN_BY`, the only list of pages that have a test of their own.

A new page needs nothing of this: its blocks are found, and run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.support.paths import REPOSITORY

RUN_BY: Mapping[str, tuple[str, ...]] = {
    "docs/guides/": ("tests/integration/test_guides.py::test_the_commands_of_a_guide_work_and_print_what_it_shows",),
    "docs/nix.md": (
        "tests/integration/test_nix_expressions.py::test_the_example_of_the_docs_is_the_derivation_of_the_manual",
        "tests/integration/test_nix_flake.py::test_the_commands_of_the_page_install_the_command",
        "tests/integration/test_nix_flake.py::test_the_command_of_the_page_installs_without_flakes",
        "tests/integration/test_nix_flake.py::test_the_flake_to_copy_makes_images_that_run",
        "tests/integration/test_nix_flake.py::test_a_configuration_of_nixos_takes_the_overlay",
        "tests/integration/test_nix_flake.py::test_a_configuration_of_nixos_takes_the_overlay_without_flakes",
    ),
}
"""Pages, or folders of pages, whose blocks other tests run: each as ``FILE::NAME``, in a file that names the page."""

COMMANDS = frozenset({"sh", "bash", "console", "python"})
"""Languages of blocks that are run; the output in those of ``console`` is compared."""
FILES = frozenset({"toml", "yaml", "nix"})
"""Languages of files that commands read: they have to be valid, and lamina has to accept those of TOML as specs."""
TEXT = frozenset({"", "text", "json"})
"""Languages of blocks that are only read: messages, and JSON, which `tests/repository/test_docs.py` checks."""

_FENCE = re.compile(r"( *)(`{3,})(.*)")
_MARKER = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``line`` is that of its fence, and ``reason`` says why no test runs it, if it is marked."""

    page: str
    line: int
    language: str
    text: str
    reason: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.language in COMMANDS | FILES and not self.reason


def list_pages() -> list[str]:
    """Return all pages of the documentation but the design records, as paths in the repository."""
    pages = {*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/**/*.md")}
    return sorted(str(page.relative_to(REPOSITORY)) for page in pages - {*REPOSITORY.glob("docs/design/*.md")})


def has_own_test(page: str) -> bool:
    """Return whether `RUN_BY` has the page, or its folder."""
    return page in RUN_BY or f"{page.rpartition('/')[0]}/" in RUN_BY


def find_blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page in their order."""
    yield from parse_blocks(page, (REPOSITORY / page).read_text(encoding="utf-8"))


def parse_blocks(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of the ``text`` of a page."""
    lines = iter(enumerate(text.splitlines(), 1))
    above = ""
    for number, line in lines:
        if opened := _FENCE.fullmatch(line):
            indent, fence, language = opened.groups()
            inside = []
            for _, inner in lines:
                if inner.strip() == fence:
                    break
                inside.append(inner.removeprefix(indent))
            marked = _MARKER.fullmatch(above.strip())
            yield Block(page, number, language, "".join(f"{one}\n" for one in inside), marked[1] if marked else "")
        above = line
