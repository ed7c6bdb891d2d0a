"""Runs the blocks of a page one after the other, in one shell and one folder, as a reader would.

The shell has the example of the repository: its store paths are those of the machine, and its binary cache takes the
place of those on the pages. `substitutions` lists every name that is replaced, and `doc_preparations` what a reader
has. Servers in the blocks run until the next one starts, or until the page ends.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.closures import NIX_SETTINGS
from tests.integration.doc_preparations import BEFORE_COMMANDS, BEFORE_PAGES, EXIT_CODES, OF_ALL_SYSTEMS, ON_TERMINAL
from tests.integration.engines import Engine
from tests.integration.tools import environment, find, loopback_port, require
from tests.support.doc_blocks import Block
from tests.support.example_store import CACHE, KEY, SYSTEM, example_store, hello, write_command
from tests.support.image_files import docker_archive, sha256, tar
from tests.support.paths import EXAMPLES
from tests.support.s3_server import ID, SECRET
from tests.support.tls import create_certificates

from lamina.core.names import STORE_DIR

USERS = ("me", "ci", "user", "oauth2accesstoken", "AWS", "robot$project+ci", "organisation+ci")
PASSWORD = "hunter2"
BUCKETS = ("builds", "cache", "nix-cache")
ARCHITECTURES = ("amd64", "arm64")
SYSTEMS = ("x86_64-linux", "aarch64-linux")

# Ends the servers of a page. A server is started by its own command in a block; the function waits for it to listen.
_PRELUDE = """\
set -euo pipefail
server=
stop_server() { [[ -z $server ]] || { kill "$server" || true; wait "$server" || true; server=; }; }
trap 'stop_server; jobs=$(jobs -p); [[ -z $jobs ]] || kill $jobs || true' EXIT
wait_for() { for _ in {1..600}; do [[ ! -s $1 ]] || return 0; sleep 0.05; done; cat "$2"; return 1; }
lamina() {
  case $1:$* in
    serve:*--listen* | load:*--watch*) set -- "$@" ;;
    serve:*) set -- "$@" --listen "127.0.0.1:$SERVE_PORT" ;;
    *) command lamina "$@"; return ;;
  esac
  stop_server
  : >"$TMPDIR/server.out"
  command lamina "$@" >"$TMPDIR/server.out" 2>"$TMPDIR/server.err" &
  server=$!
  wait_for "$TMPDIR/server.out" "$TMPDIR/server.err"
}
"""
_SEPARATOR = "\x1e"
# Tools that a page may need, by a pattern of what it writes; a missing one is a skip.
_TOOLS = {
    **{rf"\b{name}\b": name for name in ("curl", "git", "htpasswd", "jq", "openssl", "skopeo")},
    r"\bnix(?:-store)? ": "nix",
    "--extra-commands": "bwrap",
    "--fake-root-commands": "fakeroot",
}
_LINES = 40  # of output in the message of a failure
# What differs from run to run: durations and dates.
_VARYING = re.compile(r"  [0-9.]+ m?s(?=$|\n)|\b\d{4}-\d\d-\d\d\b")

_RUN_PYTHON = """\
import runpy
import sys
from pathlib import Path
from lamina.stores import open as opening
opening.MACHINE = Path({root!r})
runpy.run_path(sys.argv[1], run_name="__main__")
"""
_CHECK_SPEC = """\
import sys
from lamina.inputs import specfile
for table in specfile.load_all(sys.argv[1]).values():
    table.parse()
"""
_CHECK_YAML = "import sys, yaml\nassert yaml.safe_load(open(sys.argv[1]))\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """Commands of one block; ``shown`` is the output that the page shows for them, None if it shows none."""

    block: Block
    commands: str
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Servers:
    """The HOST:PORT of a registry with a password for each of `USERS`, and of an S3 server with `BUCKETS`."""

    registry: str
    s3: str


class Session:
    """A shell in a folder of its own."""

    def __init__(self, page: str, folder: Path, servers: Servers, docker: Engine | None) -> None:
        self._page = page
        self._folder = folder
        self._servers = servers
        self._port = loopback_port()
        for name in ("bin", "home/me", "work", "tmp", "tls", "other/cache"):
            (folder / name).mkdir(parents=True)
        example_store(folder / "machine", *(SYSTEMS if page in OF_ALL_SYSTEMS else ()))
        self._write_programs(docker)
        self._write_files()
        create_certificates(folder / "tls")
        self._environment = self._make_environment(docker)

    # --- what a reader has

    def _write_programs(self, docker: Engine | None) -> None:
        programs, machine = self._folder / "bin", self._folder / "machine"
        write_command(programs / "lamina", machine)
        for name, text in {
            "run-python": _RUN_PYTHON.format(root=str(machine)),
            "check-toml": _CHECK_SPEC,
            "check-yaml": _CHECK_YAML,
        }.items():
            (programs / name).write_text(f"#!{sys.executable}\n{text}")
        if skopeo := find("skopeo"):
            (programs / "skopeo").write_text(f'#!/bin/sh\nexec {skopeo} --insecure-policy "$@"\n')
        (programs / "check-nix").write_text('#!/bin/sh\nexec nix-instantiate --parse "$1" >/dev/null\n')
        if docker:
            # The engine of the tests has no bridge.
            words = 'case $1 in run) shift; set -- run --network none "$@" ;; esac'
            (programs / "docker").write_text(f'#!/bin/sh\n{words}\nexec {shlex.join(docker.command)} "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)

    def _write_files(self) -> None:
        work = self._folder / "work"
        (work / "examples").symlink_to(EXAMPLES)
        (work / "motd.txt").write_text("welcome\n")
        (work / "debian.tar").write_bytes(_make_base_image())
        for architecture in ARCHITECTURES:
            (work / f"app-{architecture}.tar").write_bytes(_make_base_image(architecture))
        (self._folder / "channel").write_text(f"{hello()}\n")

    def _make_environment(self, docker: Engine | None) -> dict[str, str]:
        path = os.pathsep.join([str(self._folder / "bin"), str(Path(sys.executable).parent)])
        kept = environment()
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "LAMINA_REQUIRE_TOOLS"):
            kept.pop(name, None)
        return kept | {
            "PATH": f"{path}{os.pathsep}{kept['PATH']}",
            "HOME": str(self._folder / "home/me"),
            "TMPDIR": str(self._folder / "tmp"),
            "SERVE_PORT": str(self._port),
            "MACHINE": str(self._folder / "machine"),
            "CHANNEL": str(self._folder / "channel"),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",  # as on a terminal, each line of stdout is written before the next of stderr
            "NIX_CONFIG": NIX_SETTINGS,
            "NIX_REMOTE": f"local?root={self._folder}/other",
            "CURL_CA_BUNDLE": str(self._folder / "tls/ca.pem"),
            "AWS_ACCESS_KEY_ID": ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            **dict.fromkeys(_SECRETS, PASSWORD),
            **dict.fromkeys(("GITHUB_ACTOR", "REGISTRY_USER", "CI_REGISTRY_USER", "DOCKERHUB_USERNAME"), "me"),
            "CI_REGISTRY": self._servers.registry,
            **({"DOCKER_HOST": _find_host(docker)} if docker else {}),
        }

    @property
    def substitutions(self) -> Sequence[tuple[str, str]]:
        """Patterns of names on the pages, and what takes their place, in this order."""
        registry, here = self._servers.registry, f"127.0.0.1:{self._port}"
        trust = f"--trusted-key {KEY}"
        return (
            # stores: the example in the place of public caches and packages
            (r"--channel nixos-25\.11", f"--channel {self._folder}/channel --store {CACHE} {trust}"),
            (r"--store https://cache\.nixos\.org", f"--store {CACHE} {trust}"),
            (r"https://cache\.example", CACHE),
            (r"cache\.example-1:…(?!=)", KEY),
            (rf"{STORE_DIR}/…-(?:hello-2\.12\.1|app-1\.0)", str(hello())),
            (r"(s3://[\w/-]+)\?(?:endpoint=[\w.:]+&)?", rf"\1?endpoint={self._servers.s3}&scheme=http&"),
            (r"--store /(?= )", f"--store {self._folder}/machine"),
            (r"/mnt/(?:other|usb)", f"{self._folder}/other"),
            (r"/srv/cache", f"{self._folder}/other/cache"),
            (r"/home/me", f"{self._folder}/home/me"),
            # registries
            (r"@sha256:…(?= --to)", ":1"),
            (r"docker\.io/library/debian:12", f"{registry}/debian:12"),
            (r"(?<![\w/.-])debian:12", f"{registry}/debian:12"),
            (r"ghcr\.io|registry\.example|harbor\.example|registry\.gitlab\.com|quay\.io", registry),
            (r"docker login (?=--username)", f"docker login {registry} "),
            (r"--to user/", f"--to {registry}/user/"),
            (r"127\.0\.0\.1:5000/team", f"{registry}/team"),
            (r"docker://", "--dest-tls-verify=false docker://"),
            (r"127\.0\.0\.1:8786", f"127.0.0.1:{self._port}"),
            (r"--port 8786", f"--port {self._port}"),
            # servers of the page
            (r"127\.0\.0\.1:5000|0\.0\.0\.0:443|images\.example", here),
            (r"cert\.pem", f"{self._folder}/tls/server.pem"),
            (r"(?<!token)key\.pem", f"{self._folder}/tls/key.pem"),
        )

    def substitute(self, text: str) -> str:
        for written, given in self.substitutions:
            text = re.sub(written, given, text)
        return text

    # --- the run

    def run(self, blocks: Sequence[Block]) -> None:
        """Run the blocks that are not marked; check their exit codes, and the output that the page shows."""
        pieces = [piece for block in blocks if block.is_run for piece in self._split(block)]
        preparation = BEFORE_PAGES.get(self._page, "")
        text = "\n".join([preparation, *(block.text for block in blocks if block.is_run)])
        for pattern, tool in _TOOLS.items():
            if re.search(pattern, text):
                require(tool)
        script = [_PRELUDE, f'exec 3>&1 >"$TMPDIR/prepared" 2>&1\n{self._prepare(text)}\nexec >&3 2>&1\n']
        for number, piece in enumerate(pieces):
            script.append(f"printf '{_SEPARATOR}{number}\\n'\n{self._prepare_piece(piece)}{self._format(piece)}\n")
        (self._folder / "script").write_text("".join(script), encoding="utf-8")
        output = self._folder / "output"
        with output.open("wb") as sink:  # not a pipe, which servers of the page would keep open
            ended = subprocess.run(
                ["bash", str(self._folder / "script")],
                cwd=self._folder / "work",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=500,
                check=False,
            )
        before, *printed = output.read_text(encoding="utf-8", errors="replace").split(_SEPARATOR)
        if ended.returncode:
            place = pieces[len(printed) - 1].block.place if printed else f"preparation of {self._page}"
            prepared = (self._folder / "tmp/prepared").read_text(errors="replace")
            last = printed[-1].splitlines()[1:] if printed else [*before.splitlines(), *prepared.splitlines()]
            said = "\n".join(last[-_LINES:] or prepared.splitlines()[-_LINES:])
            raise AssertionError(f"{place}: exit code {ended.returncode}\n{said}")
        for piece, text in zip(pieces, printed, strict=True):
            if piece.shown is not None:
                self._compare(piece, text.partition("\n")[2])

    def _prepare(self, text: str) -> str:
        """Return the commands before the blocks, whose ``text`` decides which images the registry has."""
        registry = self._servers.registry
        logins = f'{{"auths": {{"{registry}": {{"auth": "{_encode("me")}"}}}}}}\n'
        images = [("debian.tar", "debian:12"), *((f"app-{one}.tar", f"me/app:1-{one}") for one in ARCHITECTURES)]
        pushes = "".join(
            f"lamina push {file} --to {registry}/{name} --quiet\n" for file, name in images if name in text
        )
        login = f"mkdir -p ~/.docker\ncat >~/.docker/config.json <<'END'\n{logins}END\n"
        return login + pushes + self.substitute(BEFORE_PAGES.get(self._page, ""))

    def _prepare_piece(self, piece: Piece) -> str:
        found = [
            commands
            for (page, start), commands in BEFORE_COMMANDS.items()
            if piece.block.page == page and piece.commands.startswith(start)
        ]
        return "".join(self.substitute(f"{{\n{commands}}} >>$TMPDIR/prepared 2>&1\n") for commands in found[:1])

    def _format(self, piece: Piece) -> str:
        commands, key = self.substitute(piece.commands), (piece.block.page, piece.commands)
        if piece.shown is None:
            return commands
        if key in ON_TERMINAL:
            commands = f"script --quiet --return --command {shlex.quote(commands.strip())} /dev/null | tr -d '\\r'\n"
        code = EXIT_CODES.get(key, 0)
        return f"{{ {commands}}} || [[ $? == {code} ]]" if code else commands

    def _split(self, block: Block) -> Iterator[Piece]:
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command = re.match(r"(?:.*\\\n)*.*\n", part)
                assert command
                yield Piece(block, command[0], part[command.end() :])
        elif block.language in ("sh", "bash"):
            yield Piece(block, block.text)
        else:
            file = self._folder / "work" / _name_file(block)
            text = self.substitute(block.text)
            program = "run-python" if block.language == "python" else f"check-{block.language}"
            yield Piece(block, f"cat >{shlex.quote(file.name)} <<'END-OF-BLOCK'\n{text}END-OF-BLOCK\n{program} {file}")

    def _compare(self, piece: Piece, printed: str) -> None:
        assert piece.shown is not None
        if SYSTEM != "x86_64-linux":  # the pages show digests, and sizes of compressed layers, of that system
            return
        shown = self.substitute(piece.shown)
        lines = [_make_pattern(line) for line in shown.splitlines()]
        if not re.fullmatch("".join(lines), printed):
            raise AssertionError(
                f"{piece.block.place}: $ {piece.commands}prints:\n{printed}\nand the page shows:\n{shown}"
            )


_SECRETS = (
    "REGISTRY_PASSWORD",
    "GITHUB_TOKEN",
    "DOCKERHUB_TOKEN",
    "CI_REGISTRY_PASSWORD",
    "HARBOR_PASSWORD",
    "QUAY_PASSWORD",
)


def _make_pattern(line: str) -> str:
    """Return a pattern of a line that a page shows: ``…`` stands for anything, and alone for any lines."""
    if line == "…":
        return "(?:.*\n)*"
    parts = [re.escape(part).replace("…", ".*") for part in _VARYING.split(line)]
    return f"(?:{_VARYING.pattern})".join(parts) + "\n"


def _name_file(block: Block) -> str:
    """Return the name of a block's file: the one in a comment on its first line, or that of its language."""
    named = re.match(r"# ([\w-]+\.\w+)$", block.text, re.MULTILINE)
    default = {"python": "block.py", "toml": "lamina.toml", "nix": "default.nix", "yaml": "file.yaml"}
    return named[1] if named else default[block.language]


def _find_host(docker: Engine) -> str:
    """Return the address of the engine, for programs that do not take it from the command."""
    return docker.command[docker.command.index("--host") + 1] if "--host" in docker.command else ""


def _encode(user: str) -> str:
    return base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


def _make_base_image(architecture: str = "") -> bytes:
    """Return a base image with a merged /usr and a config to inherit."""
    architecture = architecture or {"x86_64-linux": "amd64", "aarch64-linux": "arm64"}[SYSTEM]
    layer = tar({"usr/": None, "usr/bin/": None, "bin": "usr/bin", "etc/": None, "etc/os-release": b"ID=debian\n"})
    config = {"Cmd": ["/bin/hello"], "User": "1000", "Env": ["PATH=/usr/bin:/bin"]}
    rootfs = {"type": "layers", "diff_ids": [sha256(layer)]}
    return docker_archive(
        {"layer.tar": layer}, config={"os": "linux", "architecture": architecture, "config": config, "rootfs": rootfs}
    )
