"""A hint proposes only options that the command has: every command is run with the mistakes that users make."""

from __future__ import annotations

import os
import re

import click
import pytest
from tests.support import factories
from tests.support.binary_cache import Cache
from tests.support.cli_parameters import leaf_commands
from tests.support.fake_nix_store import example, run

from lamina.cli.group import group

COMMANDS = {" ".join(names): command for names, command in leaf_commands(group)}
GONE = "/nix/store/00000000000000000000000000000000-gone-1"
_USAGE = ["--no-such-option"]
# Values of --store that are not one, a cache whose paths nobody signed, and channels.
_STORES = [
    "hello --store /none",
    "hello --store daemon",
    "hello --store local?root=/x",
    "hello --store ssh://host",
    "hello --store cache.example.org",
    "hello --store https://cache.example.org --offline",
    "hello --store ftp://host",
    "hello --store {empty}",
    "{unsigned} --store file://{cache}",
    "hello --channel none",
    "hello --channel nixos-25.11 --offline",
]
_ROOTS = ["helo", "nosuch", GONE, "./none", "x.drv^out", "/etc/passwd", "/nix/store/short"]
_IMAGES = [
    *(f"{root} --store {{root}}" for root in _ROOTS),
    *_STORES,
    "",
    "--name x",
    "hello --store {root} --name a:1",
    "hello --store {root} --name A@B",
    "hello --store {root} --tag a:1",
    "hello --store {root} -t a:b:",
    "hello --store {root} --max-layers 0",
    "hello --store {root} --architecture sparc",
    "hello --store {root} --layering popularty",
    "hello --store {root} --layering none.json",
    "hello --store {root} --config none.json",
    "hello --store {root} --from-image debian",
    "hello --store {root} --from-image debian:12 --locked",
    "hello --store {root} --from-image {image}#none",
    "hello --store {root} --from-image {image} --architecture s390x",
    "hello --store {root} --file /x=none",
    "hello --store {root} --created yesterday",
    "hello --store {root} --with cert",
    "hello --store {root} --max-unpacked-size x",
    "{motd} --store {root}",
    "{drv} --store {root}",
    "--spec none.toml",
    "--spec sandbox.toml",
    "--spec several.toml",
    "--spec key.toml",
]
_IMAGE_FILES = [
    "none.tar",
    "debian",
    "docker://Debian:12",
    "docker-daemon:debian:12",
    "oci:none",
    "dir:none",
    "{image}#none",
    "{image} --platform linux/s390x",
    "{image} --platform none",
    "{empty}",
    "key.toml",
]
NOWHERE = "127.0.0.1:1/x:1"
_WRONG_TARGETS = [
    "oci:x/y",
    "docker-daemon:x:1",
    "{empty}",
    "./x",
    "HOST:1/Name",
    "a:b@c",
    "user:secret@host/x",
    "x@sha256:00",
]
_OUTPUTS = ["-o none/x.tar", "-o x.tar.bz2", "-o /proc/x"]
_SERVER_MISTAKES = (
    "--allow a/b",
    "--max-size many",
    "--max-builds 0",
    "--platform none",
    "--platform amd64 --platform amd64",
    "--auth-file none",
    "--token-key none",
    "--tls-cert none",
    "--tls-cert none --tls-key none",
    "--store none",
    "--store file:///x --channel none",
    "--spec none.toml",
    "--spec key.toml",
)
MISTAKES = {
    "stream": [*_IMAGES, "--conf none.json", "hello --conf none.json"],
    "build": [*(f"{words} -o x.tar" for words in _IMAGES), *(f"hello --store {{root}} {words}" for words in _OUTPUTS)],
    "script": [
        *(f"{words} -o x" for words in _IMAGES),
        "hello --store {root} -o -",
        "hello --store {root} -o {empty}/",
    ],
    "plan": [words for words in _IMAGES if "{motd}" not in words],
    "push": [
        *(f"{words} --to {NOWHERE}" for words in (*_IMAGES, *_IMAGE_FILES) if "debian:" not in words),
        *(f"hello --store {{root}} --to {name}" for name in _WRONG_TARGETS),
        f"hello --store {{root}} --to {NOWHERE} --platform linux/arm64",
        f"hello --store {{root}} --to {NOWHERE} --cache-from oci:x/y",
        f"{{image}} --to {NOWHERE} --env A=B",
    ],
    "load": [*_IMAGES, "hello --into rkt", "hello --store {root} --watch", "hello --platform amd64 --platform arm64"],
    "run": [*_IMAGES, "hello --into rkt", "hello --store {root} --json", "hello none -- --into docker"],
    "batch": [
        "",
        "none.toml",
        "none.toml -o images/",
        "key.toml -o images/",
        "sandbox.toml -o images/",
        "several.toml#c -o images/",
        "several.toml -o images.tar",
        "several.toml -o images/",
        "several.toml -o images/ --to 127.0.0.1:1",
        "several.toml -o images/ --fail-fast --keep-going",
        "several.toml -o images/ --store {root} --report {empty}",
        "several.toml -o images/ --store none",
        "several.toml -o images/ --on remote",
        "several.toml -o images/ --on local:0",
        "several.toml -o images/ --jobs 0",
        "several.toml -o images/ --media-types docker",
        "hello.toml --store {root} --to 127.0.0.1:1 --layering none",
        *(f"hello.toml --store {{root}} --to {name}" for name in ("oci:x/y", "HOST:1/Name", "a@b", "./x", NOWHERE)),
    ],
    "serve": [
        "--listen 0.0.0.0:0",
        "--listen none",
        *(f"--listen 127.0.0.1:0 {words}" for words in _SERVER_MISTAKES),
    ],
    "inspect": _IMAGE_FILES,
    "diff": [words.replace(" ", " {image} ", 1) if " " in words else f"{words} {{image}}" for words in _IMAGE_FILES],
    "verify": [
        *_IMAGE_FILES,
        *(words.replace("hello", "{image}") for words in _STORES if words.startswith("hello --store")),
    ],
    "pull": ["Debian -o x.tar", "oci:none -o x.tar", "app:a:b -o x.tar", "me:pw@host/app -o x.tar", "app -o x.bz2"],
    "sbom": [
        *(f"{root} --store {{root}}" for root in _ROOTS),
        *_STORES,
        *_IMAGE_FILES,
        "",
        "hello {image}",
        "hello --store {root} -o none/x.json",
        "hello --store {root} -o {empty}",
        "hello --store {root} --max-unpacked-size 1M",
        "hello --store {root} --created yesterday",
        "hello --store {root} --format swid",
    ],
    "lock": [
        "",
        "--check",
        *(f"--spec {file}.toml" for file in ("none", "key", "several#a", "base")),
        "--spec {image}",
    ],
    "merge": [*(f"{words} -o x.tar" for words in _IMAGE_FILES), *(f"{{image}} {words}" for words in _OUTPUTS), "-o x"],
    "export": [*(f"{words} -o x.tar" for words in _IMAGE_FILES), *(f"{{image}} {words}" for words in _OUTPUTS)],
    "layout prune": ["none", "{empty}", "{image} --keep x", "none --keep-last x", "{empty} --keep none"],
    "store fetch": [
        *(f"{root} --store {{root}} --to {{own}}" for root in _ROOTS),
        *(f"{words} --to {{own}}" for words in _STORES),
    ],
    "store add": [
        "none",
        "/etc/hosts --name a/b",
        "/etc/hosts --reference helo --to {own}",
        "/etc/hosts --to file:///x",
    ],
    "store ls": ["helo --store {own}", f"{GONE} --store {{own}}", "hello", "--store file:///x", "--store none"],
    "store info": ["", "helo --store {own}", "nosuch --store {own}", f"{GONE} --store {{own}}", "hello --store none"],
    "store verify": ["--repair --store {own}", "--store /none", "--store none --repair"],
    "store gc": ["", "helo --store {own}", f"{GONE} --store {{own}}", "none.tar --store {own}", "x --store none"],
    "store export": [*(f"{root} --store {{own}}" for root in _ROOTS), *_STORES, "", "x --all"],
    "store import": ["none", "key.toml --to {empty}", "none --to {own}"],
    "store sign": [
        "--all --key none --store {own}",
        "helo --key {key} --store {own}",
        f"{GONE} --key {{key}} --store {{own}}",
    ],
    "store key generate": ["x", "x -o {key}", "x -o -", "a:b -o y"],
    "store key public": ["none", "key.toml"],
    "store push": [
        *(f"{root} --store {{own}} --to file://{{empty}}" for root in _ROOTS),
        *(f"{words} --to file://{{empty}}" for words in _STORES),
        "--all --store {own} --to daemon",
        "--all --store {own} --to https://host",
        "--all --store {own} --to /folder",
        "--to file://{empty}",
        "--all --store {own} --to file://{empty} --key none",
        "--all --store {own} --to file://{empty} --compression x",
    ],
    "cache info": ["--layer-cache {empty}"],
    "cache prune": ["--layer-cache {empty}", "--max-size x"],
    "cache clean": ["--layer-cache {empty}"],
    "help": ["strem"],
    "completion": ["none"],
}
# What other programs are told to do, up to the end of their part of the hint.
_OTHER_PROGRAM = re.compile(r"\b(nix-store|nix|skopeo|docker|podman|curl) [^;]*")
_OPTION = re.compile(r"(?:^|(?<=[\s('`]))--?[a-z][a-z-]*")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make what the mistakes name: stores, a cache, an image, a key and spec files, in the working folder."""
    folder = tmp_path_factory.mktemp("places")
    store, _ = example(folder / "root")
    motd, drv = store.add("motd-1", b"hello\n"), store.add("hello-2.12.1.drv", b"Derive()")
    unsigned = Cache(folder / "cache", key=None).add("unsigned-1", {b"x": factories.File(b"x")})
    (folder / "empty").mkdir()
    (folder / "sandbox.toml").write_text("[a]\nsandbox = false\n")
    (folder / "several.toml").write_text("[a]\n[b]\n")
    (folder / "base.toml").write_text("[a]\nfrom_image = 'debian'\n")
    (folder / "key.toml").write_text("[a]\ncontent = []\n")
    (folder / "hello.toml").write_text("[hello]\ncontents = ['hello']\n")
    paths = {name: str(folder / name) for name in ("root", "cache", "empty", "own", "key")} | {"image": "image.tar"}
    old = os.getcwd()
    os.chdir(folder)
    made = [
        run("build", "hello", "--store", paths["root"], "-o", "image.tar"),
        run("store", "key", "generate", "test-1", "-o", paths["key"]),
        run("store", "fetch", "hello", "--store", paths["root"], "--to", paths["own"]),
    ]
    os.chdir(old)
    assert [ran.code for ran in made] == [0, 0, 0], made
    return {**paths, "folder": str(folder), "motd": str(motd), "drv": str(drv), "unsigned": str(unsigned)}


def test_every_command_has_mistakes() -> None:
    assert set(MISTAKES) == set(COMMANDS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_hint_has_only_options_of_the_command(
    verb: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places["folder"])
    known = _list_options(COMMANDS[verb])
    wrong: list[str] = []
    for words in [*MISTAKES[verb], *_USAGE]:
        ran = run(*verb.split(), *words.format(**places).split())
        assert ran.code not in (0, 1), (words, ran)
        _, _, hint = ran.stderr.partition("\nhint: ")
        if not _find_options(hint) <= known:
            wrong.append(f"{words}: {hint.strip()}")
    assert wrong == []


def _find_options(hint: str) -> set[str]:
    """Return the options in a hint that are the command's own: not those of another program or another command."""
    own = _OTHER_PROGRAM.sub("", hint)
    for other, command in COMMANDS.items():
        for part in re.findall(rf"lamina {other} [^;]*", own):
            assert set(_OPTION.findall(part)) - {"--help"} <= _list_options(command), hint
            own = own.replace(part, "")
    return set(_OPTION.findall(own))


def _list_options(command: click.Command) -> set[str]:
    return {name for item in command.params if not getattr(item, "hidden", False) for name in item.opts}
