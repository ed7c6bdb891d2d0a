"""Errors say what was meant: for each mistake that a user makes, the message and the hint that help."""

from __future__ import annotations

import io
import json
import os
import pty
import socket
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.fake_nix_store import FakeStore, SymlinkTo, call, example, run, store_path

HELLO = store_path("hello-2.12.1")
GONE = "/nix/store/00000000000000000000000000000000-gone-1"


class Mistake(NamedTuple):
    """What a user wrote, and what lamina answers: the exit code, a part of the message, and a part of the hint."""

    words: str
    code: int
    message: str
    hint: str = ""


MISTAKES = {
    "no ROOT to stream": Mistake(
        "stream",
        2,
        "image: got nothing to put into it, ",
        "such as hello or /nix/store/…-hello-2.12.1",
    ),
    "no ROOT to plan": Mistake(
        "plan", 2, "image: got nothing to put into it, ", "such as hello or /nix/store/…-hello-2.12.1"
    ),
    "a name that is spelled wrong": Mistake(
        "plan helo", 5, "'helo': got no valid path of that name", "did you mean hello?"
    ),
    "a name that nothing has": Mistake(
        "plan nosuch", 5, "'nosuch': got no valid path of that name", "--channel nixos-"
    ),
    "a store path without its folder": Mistake(
        f"plan {HELLO.base}", 5, "got no valid path of that name", f"did you mean {HELLO}?"
    ),
    "a path that is not there": Mistake(
        f"plan {GONE}",
        5,
        f"{GONE}: got no such valid path in the store, ",
        "nix-store --realise, or name a store that has it, such as --store ",
    ),
    "a store of Nix": Mistake(
        "plan hello --store local?root=/x", 2, "store 'local': got a store of Nix, ", "--store /x reads the store"
    ),
    "a store over SSH": Mistake(
        "plan hello --store ssh://host", 2, "got a store of Nix, ", "nix copy --from ssh://host"
    ),
    "a cache without its scheme": Mistake(
        "plan hello --store cache.nixos.org", 5, "got nothing there, ", "write https://cache.nixos.org"
    ),
    "a tag in --name": Mistake(
        "plan hello --name a:1", 2, "--name: got 'a:1', expected a name without a tag", "--name a --tag 1"
    ),
    "a name in --tag": Mistake(
        "plan hello --tag a:1", 2, "--tag: got 'a:1', expected a tag without a name", "--name a --tag 1"
    ),
    "a word of --with": Mistake(
        "stream hello --with cert", 2, "--with: got 'cert', expected some of ", "did you mean certs?"
    ),
    "no layer": Mistake("plan hello --max-layers 0", 4, "--max-layers: got 0, expected at least 2 layers: "),
    "a processor that images lack": Mistake(
        "plan hello --architecture sparc",
        2,
        "--architecture: got 'sparc', expected ",
        "there are 386, amd64, arm, arm64",
    ),
    "a strategy that is spelled wrong": Mistake(
        "plan hello --layering popularty",
        2,
        "--layering: got 'popularty', expected one of ",
        "did you mean popularity?",
    ),
    "a ROOT that is one file": Mistake(
        "build hello /nix/store/{motd} -o x.tar",
        2,
        "-motd-1, which is a file, expected a folder",
        "--symlink /PATH=/nix/",
    ),
    "a ROOT that is a relative link": Mistake(
        "build hello /nix/store/{link} -o x.tar", 2, "-relative-1, which leads to /nix/store/somewhere, expected a path"
    ),
    "a derivation": Mistake(
        "plan /nix/store/{drv}", 2, "got a derivation, expected a store path that it builds", "--realise"
    ),
    "an output of a derivation": Mistake(
        "plan x.drv^out", 2, "x.drv^out: got an output of a derivation, ", "nix build --no-link --print-out-paths"
    ),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    store, _ = example(tmp_path_factory.mktemp("machine") / "root")
    store.add("hello-2.12.1.drv", b"Derive()")
    store.add("motd-1", b"hello\n")
    store.add("relative-1", SymlinkTo("somewhere"))
    return store


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_link_in_a_pipeline_is_resolved(store: FakeStore) -> None:
    Path("result").symlink_to(str(HELLO))
    pipeline: list[Any] = [["subcomponent_in", ["./result"]]]
    Path("pipeline.json").write_text(json.dumps(pipeline))
    assert _plan(store, "--layering", "pipeline.json") == ""


@pytest.mark.parametrize("path", ["./result", GONE])
def test_a_path_of_a_pipeline_that_matches_nothing_is_a_warning(path: str, store: FakeStore) -> None:
    Path("pipeline.json").write_text(json.dumps([["split_paths", [path]]]))
    (warning,) = _plan(store, "--layering", "pipeline.json").splitlines()
    assert warning.startswith("lamina: warning: layering pipeline.json: [0] split_paths: got ")
    assert path in warning


def _fill(words: str, store: FakeStore) -> list[str]:
    names = {"drv": "hello-2.12.1.drv", "motd": "motd-1", "link": "relative-1"}
    bases = {key: store_path(name).base for key, name in names.items()}
    filled = [word.format(**bases) for word in words.split()]
    takes_store = filled[0] in ("stream", "build", "script", "plan") and "--store" not in filled
    return [*filled, *(["--store", str(store.root)] if takes_store else [])]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(mistake: Mistake, store: FakeStore) -> None:
    ran = run(*_fill(mistake.words, store))
    assert (ran.code, ran.stdout) == (mistake.code, b"")
    message, _, hint = ran.stderr.partition("\nhint: ")
    assert mistake.message in message
    if mistake.message.startswith("--"):
        assert message.startswith(f"lamina: {mistake.message}")
    assert mistake.hint in hint
    assert bool(mistake.hint) == bool(hint)


def test_a_missing_network_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    ran = run("plan", GONE, "--store", "http://cache.example.org")
    assert ran.code == 5
    assert "got no address for its host, expected a server that answers" in ran.error
    assert "hint: check the network and the spelling of the host; --offline uses only" in ran.stderr


FILES = {
    "two images": Mistake(
        "[a]\n[b]", 2, "lamina.toml: got 2 images, expected one of them", "lamina.toml#a, lamina.toml#b"
    ),
    "a key that is spelled wrong": Mistake(
        '[a]\ncontent = ["hello"]',
        2,
        "lamina.toml#a: got argument 'content', expected an argument of an image",
        "did you mean contents?",
    ),
    "an operation that is spelled wrong": Mistake(
        '[a]\nlayering = [["subcomponent_outs", []]]',
        2,
        "lamina.toml#a: layering: [0]: got operation 'subcomponent_outs'",
        "did you mean subcomponent_out?",
    ),
    "a text in place of a list": Mistake(
        '[a]\nconfig.Cmd = "sh -c x"', 2, "lamina.toml#a: config.Cmd: got ", '["sh", "-c", "x"]'
    ),
    "a duration": Mistake(
        '[a]\nconfig.Healthcheck.Interval = "soon"',
        2,
        "lamina.toml#a: config.Healthcheck.Interval: got 'soon', ",
        "such as 30s or 1m30s",
    ),
}


@pytest.mark.parametrize("mistake", FILES.values(), ids=FILES)
def test_a_mistake_in_a_spec_file_is_explained(mistake: Mistake) -> None:
    Path("lamina.toml").write_text(mistake.words)
    ran = run("script", "--spec", "lamina.toml", "-o", "stream-it")
    assert (ran.code, ran.stdout) == (mistake.code, b"")
    message, _, hint = ran.stderr.partition("\nhint: ")
    assert message.startswith(f"lamina: {mistake.message}")
    assert mistake.hint in hint
    assert bool(mistake.hint) == bool(hint)


# What is taken, because it is clear what was meant


def _plan(store: FakeStore, *words: str) -> str:
    """Return what ``lamina plan hello`` says on stderr."""
    ran = run("plan", "hello", "--store", str(store.root), *words)
    assert ran.code == 0, ran.stderr
    return ran.stderr


def test_arguments_of_one_image_need_no_table(store: FakeStore) -> None:
    Path("lamina.toml").write_text(f'contents = ["hello"]\nstore = "{store.root}"\n')
    assert run("plan", "--spec", "lamina.toml").code == 0


def test_a_spec_file_names_a_link_beside_it(store: FakeStore) -> None:
    Path("result").symlink_to(str(HELLO))
    Path("lamina.toml").write_text(f'contents = ["./result"]\nstore = "{store.root}"\n')
    assert run("plan", "--spec", "lamina.toml").code == 0
    assert run("plan", "--spec", "./lamina.toml").code == 0


@pytest.mark.parametrize(("given", "goarch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("aarch64-linux", "arm64")])
def test_the_words_of_nix_for_processors_are_translated(given: str, goarch: str, store: FakeStore) -> None:
    assert _stream_config(store, "--architecture", given)["architecture"] == goarch


def test_seconds_since_1970_are_a_date(store: FakeStore) -> None:
    assert _stream_config(store, "--created", "@0")["created"].startswith("1970-01-01T00:00:00")


def test_what_go_takes_in_a_config_is_taken(store: FakeStore) -> None:
    config = {
        "Healthcheck": {"Test": ["NONE"], "Interval": "30s"},
        "Volumes": {"/x": None},
        "ExposedPorts": {"80/tcp": None},
    }
    Path("config.json").write_text(json.dumps(config))
    config["Healthcheck"] = {"Interval": 30_000_000_000, "Test": ["NONE"]}
    assert _stream_config(store, "--config", "config.json")["config"] == config
    Path("config.json").write_text("null")
    assert _stream_config(store, "--config", "config.json")["config"] == {}


def _stream_config(store: FakeStore, *words: str) -> Any:
    ran = run("stream", "hello", "--store", str(store.root), *words)
    assert ran.code == 0, ran.stderr
    with tarfile.open(fileobj=io.BytesIO(ran.stdout)) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest
        config = archive.extractfile(json.load(manifest)[0]["Config"])
        assert config
        return json.load(config)


# Warnings


@pytest.mark.parametrize("strategy", ["auto", "popularity"])
def test_more_layers_than_docker_loads_are_a_warning(strategy: str, store: FakeStore) -> None:
    docker = "docker cannot load an image with more layers, unless it has containerd's image store"
    text = f"lamina: warning: max layers: got 126, expected at most 125: {docker}\n"
    assert _plan(store, "--max-layers", "126", "--layering", strategy) == text
    assert _plan(store, "--max-layers", "125", "--layering", strategy) == ""


def test_more_layers_than_podman_runs_are_in_the_warning(store: FakeStore) -> None:
    assert "podman" not in _plan(store, "--max-layers", "128")
    assert "podman cannot run one with more than 128\n" in _plan(store, "--max-layers", "129")


def test_reserved_layers_leave_room_in_docker(store: FakeStore) -> None:
    assert _plan(store, "--max-layers", "126", "--reserve", "1") == ""


@pytest.mark.parametrize("number", ["-1", "124"])
def test_a_reserve_that_leaves_no_layer_is_an_error(number: str, store: FakeStore) -> None:
    ran = run("plan", "hello", "--store", str(store.root), f"--reserve={number}")
    assert ran.code == 4
    assert f"--reserve: got {number}, expected 0 to 123 layers: docker loads 125" in ran.stderr


def test_a_pattern_that_matches_nothing_is_a_warning(store: FakeStore) -> None:
    assert "layers: nothing-* matches none of the" in _plan(store, "--layer", "nothing-*")


@pytest.mark.parametrize(
    ("roots", "message"), [([], "image: got nothing to put into it, "), (["hello"], "stdout: got a terminal, ")]
)
def test_a_missing_root_is_reported_before_a_terminal(roots: list[str], message: str) -> None:
    leader, follower = pty.openpty()
    ran = call("stream", *roots, stdout=follower)
    os.close(leader)
    os.close(follower)
    assert (ran.code, ran.error.startswith(message)) == (2, True)
