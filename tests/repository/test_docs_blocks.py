"""Every block of every page is run by a test, or is marked with the reason why none runs it."""

import re
from collections import Counter

import pytest
from tests.support.doc_blocks import COMMANDS, FILES, RUN_BY, TEXT, find_blocks, list_pages, parse_blocks
from tests.support.paths import REPOSITORY

PAGES = list_pages()
_MARKER_LINE = re.compile(r"^ *<!-- *not run", re.MULTILINE)


def test_the_pages_are_those_of_readers() -> None:
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md", "docs/usage.md"} <= {*PAGES}
    assert not any(page.startswith("docs/design/") for page in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_language_of_every_block_says_whether_it_is_run(page: str) -> None:
    """A block without a language is text, so it shows no commands."""
    for block in find_blocks(page):
        known = COMMANDS | FILES | TEXT
        assert block.language in known or block.language.startswith("{"), block.place
        if block.language in TEXT:
            assert not re.search(r"^(?:\$|>>>) ", block.text, re.MULTILINE), block.place


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_in_blocks_with_a_fence(page: str) -> None:
    """An indented block has no language, so the tests would not see it."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    fenced = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^    +(?:\$ |>>> |(?:lamina|script/|nix|docker|pip|python) ?).*", fenced, re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_marker_stands_above_a_block_and_says_why(page: str) -> None:
    marked = [block for block in find_blocks(page) if block.reason]
    assert len(_MARKER_LINE.findall((REPOSITORY / page).read_text(encoding="utf-8"))) == len(marked)
    for block in marked:
        assert block.language in COMMANDS | FILES, block.place
        assert len(block.reason.split()) >= 3, block.place


def test_every_page_with_a_test_of_its_own_is_named_by_that_test() -> None:
    for page, test in ((page, test) for page, tests in RUN_BY.items() for test in tests):
        assert page in {*PAGES, *(f"{one.rpartition('/')[0]}/" for one in PAGES)}
        file, _, name = test.partition("::")
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in text, test
        assert page.rstrip("/").rpartition("/")[2] in text, f"{test} does not name {page}"


def test_most_blocks_are_run() -> None:
    """The marker is for what a machine without a network, a cluster and accounts cannot do."""
    blocks = [block for page in PAGES for block in find_blocks(page) if block.language in COMMANDS]
    counted = Counter(bool(block.reason) for block in blocks)
    assert counted[False] > 3 * counted[True]


PAGE = """\
Text.

<!-- not run: needs a cluster -->
```sh
kubectl apply
```

```console
$ lamina --version
```

1. A step:
   ```toml
   [hello]
   ```
"""


def test_a_marker_counts_for_the_block_below_it_alone() -> None:
    first, second, third = parse_blocks("page.md", PAGE)
    assert (first.reason, first.is_run, first.place) == ("needs a cluster", False, "page.md:4")
    assert (second.text, second.is_run) == ("$ lamina --version\n", True)
    assert (third.language, third.text) == ("toml", "[hello]\n")
