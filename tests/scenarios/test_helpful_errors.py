"""Errors say what was meant: for each mistake that a user makes, the message and the hint that help."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.fake_nix_store import FakeStore, example, run, store_path

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
        "stream", 2, "ROOT: got none, expected ", "such as hello or /nix/store/…-hello-2.12.1"
    ),
    "no ROOT to plan": Mistake("plan", 2, "ROOT: got none, expected ", "such as hello or /nix/store/…-hello-2.12.1"),
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
        f"plan {GONE}", 5, f"{GONE}: got no such valid path in the store, ", "nix-store --realise, or name a store"
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
    return store


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)


def _fill(words: str, store: FakeStore) -> list[str]:
    filled = [word.format(drv=store_path("hello-2.12.1.drv").base) for word in words.split()]
    takes_store = filled[0] in ("stream", "build", "script", "plan") and "--store" not in filled
    return [*filled, *(["--store", str(store.root)] if takes_store else [])]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(mistake: Mistake, store: FakeStore) -> None:
    ran = run(*_fill(mistake.words, store))
    assert (ran.code, ran.stdout) == (mistake.code, b"")
    message, _, hint = ran.stderr.partition("\nhint: ")
    assert mistake.message in message
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
