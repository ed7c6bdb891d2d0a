"""Fingerprints: what they contain, and how workers that differ are named."""

import pickle
from dataclasses import replace

import pytest

from lamina.compression import libraries
from lamina.compression.compressors import LayerCompression
from lamina.errors import FormatError, InvalidArgument
from lamina.fleet.fingerprint import Fingerprint, list_versions
from lamina.version import __version__

GZIP, ZSTD = LayerCompression.parse("gzip"), LayerCompression.parse("zstd:5")
OWN = Fingerprint.of_this_process([ZSTD, GZIP, ZSTD])


def test_a_fingerprint_names_all_that_the_bytes_depend_on() -> None:
    assert OWN.compressions == ("gzip:2", "zstd:5")
    assert OWN.versions == (f"lamina {__version__}", "tar rules 1", GZIP.identity, ZSTD.identity)
    assert pickle.loads(pickle.dumps(OWN)) == OWN


def test_only_workers_with_other_versions_are_refused() -> None:
    OWN.check_workers("cluster", {"a": OWN.versions, "b": list(OWN.versions)})
    OWN.check_workers("cluster", {})
    OWN.check_this_process()
    with pytest.raises(InvalidArgument, match=r"^cluster: got b with lamina 0, expected lamina"):
        OWN.check_workers("cluster", {"a": OWN.versions, "b": ("lamina 0", *OWN.versions[1:])})


def test_a_worker_with_other_versions_is_refused_by_name() -> None:
    other = (f"lamina {__version__}", "tar rules 2", GZIP.identity, "zstd:5 libzstd 1.4.0")
    with pytest.raises(InvalidArgument) as caught:
        OWN.check_workers("cluster", {"good": OWN.versions, "bad": other})
    assert str(caught.value) == (
        f"cluster: got bad with tar rules 2, zstd:5 libzstd 1.4.0, expected tar rules 1, {ZSTD.identity}"
    )
    assert "install the same versions" in caught.value.hint


def test_a_worker_that_cannot_be_asked_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidArgument) as caught:
        OWN.check_workers("cluster", {"bad": ModuleNotFoundError("No module named 'lamina'")})
    assert str(caught.value) == (
        f"cluster: got bad with ModuleNotFoundError: No module named 'lamina', expected lamina {__version__}"
    )


def test_the_first_of_many_workers_are_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        OWN.check_workers("cluster", {f"w{number}": ("lamina 0", *OWN.versions[1:]) for number in range(9)})
    assert caught.value.got == "; ".join([*(f"w{number} with lamina 0" for number in range(5)), "4 more"])
    assert caught.value.expected == f"lamina {__version__}"


def test_a_task_from_a_process_with_other_versions_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=rf"^worker process .* got lamina {__version__}, expected lamina 0$"):
        replace(OWN, versions=("lamina 0", *OWN.versions[1:])).check_this_process()


def test_a_library_that_is_missing_here_is_an_error_and_one_missing_in_a_worker_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(libraries._LIBRARIES, "zstd", ("no_such_module", "install it"))
    with pytest.raises(FormatError, match="no_such_module"):
        Fingerprint.of_this_process([ZSTD])
    list_versions.cache_clear()
    versions = list_versions(("zstd:5",))
    list_versions.cache_clear()
    with pytest.raises(InvalidArgument, match="bad with zstd:5 without its library"):
        replace(OWN, compressions=("zstd:5",)).check_workers("cluster", {"bad": versions})
