"""The targets of the fuzzer: each accepts its seeds and similar inputs, and reports faults."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType

import pytest
from fuzz import graph as fuzz_graph
from fuzz import image as fuzz_image
from fuzz import nar as fuzz_nar
from fuzz import narinfo as fuzz_narinfo
from fuzz import seeds

from lamina.formats import closure_graph, nar, narinfo

TARGETS: dict[str, ModuleType] = {"nar": fuzz_nar, "narinfo": fuzz_narinfo, "graph": fuzz_graph, "image": fuzz_image}


@pytest.mark.parametrize("name", TARGETS)
def test_there_are_seeds_and_each_is_accepted(name: str, tmp_path: Path) -> None:
    found = list(seeds.iter_seeds(name))
    assert len(found) >= 5
    for seed in found:
        TARGETS[name].check(seed)
        match name:
            case "nar":
                assert tuple(nar.parse_bytes(seed))
            case "narinfo":
                assert narinfo.parse(seed.decode())
            case "graph":
                assert closure_graph.parse(seed)
            case _:
                (tmp_path / "image").write_bytes(seed)
                assert fuzz_image.process_image(tmp_path / "image") == "1 images"


@pytest.mark.parametrize("name", TARGETS)
def test_a_mutated_seed_is_accepted_or_refused(name: str) -> None:
    source = random.Random(name)
    found = [seed for seed in seeds.iter_seeds(name) if len(seed) < 20_000]
    for _ in range(300):
        data = bytearray(source.choice(found))
        for _ in range(source.randint(1, 3)):
            offset = source.randrange(len(data))
            data[offset : offset + source.randint(0, 2)] = source.randbytes(source.randint(0, 2))
        TARGETS[name].check(bytes(data))


@pytest.mark.parametrize("name", TARGETS)
def test_a_dictionary_has_quoted_words(name: str) -> None:
    lines = seeds.make_dictionary(name).splitlines()
    assert len(lines) > 10
    assert all(line.startswith('"') and line.endswith('"') for line in lines)


def test_a_target_finds_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_nar, "scan", lambda data, mtime_ns: iter(()))
    with pytest.raises(AssertionError, match="the scanner accepted an archive that the parser refused"):
        fuzz_nar.check(b"")
    with pytest.raises(AssertionError, match="the scanner and the parser returned different entries"):
        fuzz_nar.check(next(seeds.iter_seeds("nar")))
    monkeypatch.setattr(fuzz_image, "open_images", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fuzz_image.check(b"")
    monkeypatch.setattr(fuzz_narinfo, "find_signer", lambda *_: "somebody")
    with pytest.raises(AssertionError, match="an unrequested key counts as a signer"):
        fuzz_narinfo.check(next(seeds.iter_seeds("narinfo")))
