"""The guides of the documentation as programs: the blocks of a page run in its order, in one folder and one shell.

A block of ``sh`` or ``console`` is run. A block of another language whose first line is ``# FILE`` is the content of
that file. A block with a comment ``<!-- not run: REASON -->`` above it is left out.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.doc_blocks import Block, find_blocks
from tests.support.example_store import CACHE, KEY, SYSTEM, example_store, hello, write_command
from tests.support.fake_nix_store import Program, store_path
from tests.support.image_files import docker_archive, sha256, tar_member
from tests.support.paths import REPOSITORY

import lamina

GUIDES = sorted((REPOSITORY / "docs/guides").glob("*.md"))

_FILE = re.compile(r"# ([\w./-]+)\n")
ARCHITECTURE = "arm64" if SYSTEM == "aarch64-linux" else "amd64"
_MARK = "== end of a command"
# A small web server, in the place of darkhttpd: `darkhttpd FOLDER --port N`.
_WEB_SERVER = '#!{busybox}/bin/busybox sh\nexec {busybox}/bin/busybox httpd -f -p "$3" -h "$1"\n'


def list_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that have a language."""
    return [block for block in find_blocks(str(page.relative_to(REPOSITORY))) if block.language]


def list_commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """Yield the commands with the text that the page shows below each, or None if it shows nothing."""
    if block.language == "sh":
        yield block.text, None
    elif block.language == "console":
        for part in block.text.removeprefix("$ ").split("\n$ ") if block.text else ():
            lines = part.splitlines()
            size = 1
            while lines[size - 1].endswith("\\"):
                size += 1
            yield "\n".join(lines[:size]), "\n".join(lines[size:])
    elif named := _FILE.match(block.text):
        yield f"cat >{shlex.quote(named[1])} <<'END OF THE FILE'\n{block.text}END OF THE FILE", None
        if block.language == "nix":
            yield f"nix-instantiate --parse {shlex.quote(named[1])}", None


@dataclass(frozen=True, slots=True)
class Machine:
    """A folder with commands and files for the guides.

    ``names`` are texts of the guides with what runs in their place, and ``shown`` are texts that commands print with
    what the guides show instead.
    """

    folder: Path
    names: Sequence[tuple[str, str]]
    shown: Sequence[tuple[str, str]]

    def run(self, blocks: Sequence[Block], variables: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
        """Run the blocks, and return each command that shows something, with what it shows and what it printed."""
        commands = [one for block in blocks if not block.reason for one in list_commands(block)]
        script = "\n".join(f"{command}\necho; echo '{_MARK}'" for command, _ in commands)
        for written, given in self.names:
            script = script.replace(written, given)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"exec 2>&1\n{script}"],
            cwd=self.folder,
            env=self.variables() | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        printed = ran.stdout
        assert ran.returncode == 0, printed
        for given, written in self.shown:
            printed = printed.replace(given, written)
        parts = printed.split(f"\n{_MARK}\n")
        return [
            (command, shown, part) for (command, shown), part in zip(commands, parts, strict=False) if shown is not None
        ]

    def variables(self) -> dict[str, str]:
        programs = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        return {"PATH": programs, "HOME": str(self.folder / "home")}


def mask(text: str) -> str:
    """Return ``text`` without what differs between machines: hashes, durations, sizes and processors."""
    text = re.sub(r"sha256:[0-9a-f]{12,}…?", "sha256:…", text)
    text = re.sub(r"/nix/store/([0-9a-z]{32}|…)-", "/nix/store/…-", text)
    text = re.sub(r"\d+ worker process(es)?", "N worker processes", text)
    text = re.sub(r"[0-9.,]+ ([KMG]iB|B|m?s)\b", r"N", text)
    return re.sub(r"[ ─-]{2,}", "  ", text).strip()


def matches(shown: str, printed: str) -> bool:
    """Return whether a command printed what its page shows; a line with only ``…`` stands for any lines."""
    lines = (line for line in shown.splitlines() if line.strip())
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(mask(line)) + "\n" for line in lines)
    masked = "".join(mask(line) + "\n" for line in printed.splitlines() if line.strip())
    return re.fullmatch(pattern, masked) is not None


# --- what the guides use


def prepare_machine(folder: Path, address: str, busybox: Path, *, has_packages: bool) -> Machine:
    """Return a machine for the guides, whose registries are the one at ``address``, which gets ``debian:12``.

    A binary cache with a channel has the example, and a web server that ``busybox``, a static program, contains.
    ``has_packages`` says whether the embedded store of the machine has them as well; it has no Nix store.
    """
    for name in ("bin", "home"):
        (folder / name).mkdir()
    write_command(folder / "bin/lamina", folder / "without-nix")
    channel = publish_packages(folder, busybox)
    if has_packages:
        shutil.copytree(folder / "packages", folder / "home/.local/share/lamina/store")
    (folder / "debian.tar").write_bytes(make_debian(busybox))
    lamina.push_image(folder / "debian.tar", to=f"{address}/library/debian:12")
    return Machine(
        folder,
        names=(
            (" debian:12", f" {address}/library/debian:12"),
            ('"debian:12', f'"{address}/library/debian:12'),
            ("registry.example", address),
            ("ghcr.io", address),
            ("--channel nixos-25.11", channel),
            ("https://cache.example", CACHE),
            ("cache.example-1:…", KEY),
            ("/nix/store/…-app-1.0", str(hello())),
            ("/nix/store/…-busybox-1.36.1", str(store_path("busybox-1.36.1"))),
        ),
        shown=(
            (f"{address}/library/", "docker.io/library/"),
            (address, "registry.example"),
            (f"{folder}/home", "/home/me"),
        ),
    )


def publish_packages(folder: Path, busybox: Path) -> str:
    """Write a binary cache, and a channel with the names of its packages; return the options of lamina for both."""
    store = example_store(folder / "built")
    program = store.add("busybox-1.36.1", {"bin": {"busybox": Program(busybox.read_bytes())}})
    script = _WEB_SERVER.format(busybox=program).encode()
    store.add("darkhttpd-1.16", {"bin": {"darkhttpd": Program(script)}}, [program])
    paths = {path.package: str(path) for path in store.numbers}
    packages, secret = folder / "packages", folder / "guides.key"
    lamina.fetch_paths(paths.values(), embedded_store=packages, store=str(store.root))
    key = lamina.generate_key("guides-1", secret)
    lamina.push_paths(to=f"file://{folder}/cache", all_paths=True, embedded_store=packages, key_files=secret)
    (folder / "channel.json").write_text(json.dumps(paths))
    return f"--channel={folder}/channel.json --store=file://{folder}/cache --trusted-key={key}"


def make_debian(busybox: Path) -> bytes:
    """Return a docker-archive of a base image that has what Debian's has, as far as the guides use it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("usr", "usr/bin", "usr/sbin", "etc", "home", "var", "srv", "tmp"):
            archive.addfile(tar_member(name, tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755))
        links = {f"usr/bin/{name}": "busybox" for name in ("cat", "id", "ls", "sh", "touch", "wget")}
        for name, target in {"bin": "usr/bin", "sbin": "usr/sbin", **links}.items():
            archive.addfile(tar_member(name, tarfile.SYMTYPE, linkname=target))
        for name, content in {
            "usr/bin/busybox": busybox.read_bytes(),
            "etc/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
            "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
            "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
            "etc/shadow": b"root:*:19700:0:99999:7:::\n",
        }.items():
            mode = 0o755 if name.startswith("usr/bin/") else 0o644
            archive.addfile(tar_member(name, tarfile.REGTYPE, size=len(content), mode=mode), io.BytesIO(content))
    layer = out.getvalue()
    config = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]}
    rootfs = {"type": "layers", "diff_ids": [sha256(layer)]}
    document = {"os": "linux", "architecture": ARCHITECTURE, "config": config, "rootfs": rootfs}
    return docker_archive({"layer.tar": layer}, config=document)


def write_docker_command(folder: Path, command: Sequence[str]) -> None:
    """Write a ``docker`` for the guides that runs ``command``; its containers have no network."""
    text = (
        '#!/bin/sh\nif [ "$1" = run ]; then shift; set -- run --network none "$@"; fi\n'
        f'exec {shlex.join(command)} "$@"\n'
    )
    (folder / "bin/docker").write_text(text)
    (folder / "bin/docker").chmod(0o755)
