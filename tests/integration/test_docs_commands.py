"""Every block of every page runs, in the order of the page, with a real docker, a real registry and a real Nix.

`tests/support/doc_blocks.py` says what a block has to look like so that it is not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from tests.integration import engines
from tests.integration.conftest import short_folder
from tests.integration.doc_preparations import BEFORE_COMMANDS, BEFORE_PAGES, EXIT_CODES, OF_ALL_SYSTEMS, ON_TERMINAL
from tests.integration.doc_sessions import BUCKETS, PASSWORD, USERS, Servers, Session
from tests.integration.engines import Engine
from tests.support.buckets import serve_buckets
from tests.support.doc_blocks import Block, find_blocks, has_own_test, list_pages

BLOCKS: dict[str, list[Block]] = {page: [*find_blocks(page)] for page in list_pages()}
PAGES = [page for page, blocks in BLOCKS.items() if not has_own_test(page) and any(block.is_run for block in blocks)]


@pytest.fixture
def servers() -> Iterator[Servers]:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    with short_folder() as folder:
        (folder / "htpasswd").write_text("".join(f"{user}:{hashed}\n" for user in USERS))
        auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        with engines.start_registry(folder, auth) as registry, serve_buckets(*BUCKETS) as s3:
            yield Servers(registry, s3)


@pytest.fixture
def docker(request: pytest.FixtureRequest) -> Iterator[Engine | None]:
    """The dockerd of this machine, if the page names docker; what it made is removed."""
    (page,) = request.node.callspec.params.values()
    if not any("docker" in block.text for block in BLOCKS[page] if block.is_run):
        yield None
        return
    engine: Engine = request.getfixturevalue("own_docker")
    yield engine
    engine.call("container", "prune", "--force")
    for name in engine.images():
        engine.remove(name)


def run_block(text: str, folder: Path, servers: Servers) -> None:
    Session("page.md", folder, servers, None).run([Block("page.md", 3, "console", text)])


def test_output_is_compared_but_for_what_varies(servers: Servers, tmp_path: Path) -> None:
    text = "$ printf 'a  2 ms\\nb\\nc\\nd 2026-11-30\\n'\na  1.5 s\n…\nd 2025-01-01\n$ echo x-y\nx…y\n"
    run_block(text, tmp_path / "right", servers)
    for wrong in (text.replace("a  1.5 s", "a  1.5 h"), text.replace("d 2025", "e 2025"), text.replace("x…y", "x…z")):
        with pytest.raises(AssertionError, match=r"page\.md:3: (.|\n)*prints:"):
            run_block(wrong, tmp_path / str(len(list(tmp_path.iterdir()))), servers)


def test_a_command_that_fails_is_a_failure_of_its_block(servers: Servers, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:3: exit code 5\nlamina: 'nothing'"):
        run_block("$ lamina plan nothing\n…\n$ true\n", tmp_path, servers)


def test_all_that_is_prepared_for_pages_is_used(tmp_path: Path) -> None:
    runnable = {page: [block for block in BLOCKS[page] if block.is_run] for page in PAGES}
    assert {*BEFORE_PAGES, *OF_ALL_SYSTEMS} <= {*PAGES}
    for page, start in (*BEFORE_COMMANDS, *EXIT_CODES, *ON_TERMINAL):
        assert any(re.search(rf"^(?:\$ )?{re.escape(start)}", block.text, re.MULTILINE) for block in runnable[page]), (
            start
        )
    texts = [block.text for blocks in runnable.values() for block in blocks]
    texts += [*BEFORE_PAGES.values(), *BEFORE_COMMANDS.values()]
    for written, _ in Session("page.md", tmp_path, Servers("registry", "s3"), None).substitutions:
        assert any(re.search(written, text) for text in texts), written


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, docker: Engine | None, servers: Servers) -> None:
    with short_folder() as folder:
        Session(page, folder, servers, docker).run(BLOCKS[page])
    if docker:
        for name in docker.images():
            if docker.inspect(name)["Config"]["Cmd"] == ["/bin/hello"]:
                assert docker.run(name).stdout in ("Hello, world!\n", "Bonjour, tout le monde !\n")
