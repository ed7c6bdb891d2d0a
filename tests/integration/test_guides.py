"""The guides in ``docs/guides/``: every command runs, in the order of its page, and prints what the page shows."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration import engines
from tests.integration.engines import Engine
from tests.integration.tools import require
from tests.support.buckets import serve_buckets
from tests.support.doc_blocks import Block
from tests.support.guides import (
    GUIDES,
    Machine,
    list_blocks,
    list_commands,
    matches,
    prepare_machine,
    write_docker_command,
)
from tests.support.paths import REPOSITORY
from tests.support.s3_server import ID, SECRET

_FETCH = "until wget -q -O - http://127.0.0.1:8080/ 2>/dev/null; do :; done"
# What images of the guides are checked for, after all commands of the page: commands and what they print.
CHECKS = {
    "web-server": f"""\
$ docker run --rm registry.example/me/web:2 sh -c 'id -u; ls -d /etc/ssl/certs/ca-certificates.crt'
…
1000
/etc/ssl/certs/ca-certificates.crt
$ docker run --rm registry.example/me/web:2 sh -c '/bin/darkhttpd /srv/www --port 8080 & {_FETCH}'
<h1>Hello again</h1>
$ diff <(lamina inspect registry.example/me/web:2 | tail -n +2) <(lamina inspect registry.example/me/web:3 | tail -n +2)
$ docker run --rm --entrypoint /nix/store/…-busybox-1.36.1/bin/busybox registry.example/me/web:small id -un
…
web
""",
}


@pytest.fixture
def machine(page: Path, tmp_path: Path, own_docker: Engine) -> Iterator[Machine]:
    """A machine for the guides, with a real docker and a real registry, and a bucket."""
    busybox = Path(require("busybox", "skopeo", "nix-instantiate"))
    (tmp_path / "registry").mkdir()
    with engines.start_registry(tmp_path / "registry") as address, serve_buckets("builds") as s3:
        machine = prepare_machine(tmp_path, address, busybox, has_packages=page.stem != "without-nix")
        write_docker_command(tmp_path, own_docker.command)
        bucket = ("?region=eu-central-1", f"?region=us-east-1&endpoint={s3}&scheme=http")
        yield dataclasses.replace(machine, names=(*machine.names, bucket))
    own_docker.call("image", "prune", "--all", "--force")


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_commands_of_a_guide_work_and_print_what_it_shows(page: Path, machine: Machine) -> None:
    blocks = [*list_blocks(page), Block(page.name, 0, "console", CHECKS.get(page.stem, ""))]
    credentials = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    for command, shown, printed in machine.run(blocks, credentials):
        assert matches(shown, printed), f"{page.name}: {command}\n{printed}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_every_block_of_a_guide_is_run_or_marked(page: Path) -> None:
    """Those of YAML are workflows, which ``test_ci_examples.py`` runs."""
    left = [block.text for block in list_blocks(page) if not block.reason and not [*list_commands(block)]]
    assert left == [block.text for block in list_blocks(page) if block.language == "yaml"]
    assert len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)) == 2 * len(list_blocks(page))


def test_every_guide_is_in_the_index() -> None:
    index = (REPOSITORY / "docs/index.md").read_text(encoding="utf-8")
    named = {f"guides/{page.stem}" for page in GUIDES}
    assert {*re.findall(r"^\| \[.*\]\((guides/\S+)\.md\)", index, re.MULTILINE)} == named
    assert {*re.findall(r"^(guides/\S+)$", index, re.MULTILINE)} == named
