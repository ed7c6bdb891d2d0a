"""Which store paths a name matches."""

import pytest
from tests.support.fake_nix_store import store_path

from lamina.core.name_match import OUTPUTS, has_output_suffix, match_paths, search_prefix
from lamina.core.names import StorePath

NAMES = [
    "glibc-2.40",
    "glibc-2.40-bin",
    "glibc-2.40-dev",
    "glibc-2.40.drv",
    "glibc-2.40-dev.drv",
    "glibc-locales-2.40",
    "hello-2.12.1",
    "words-2.1-data",
    "openssl-3.0.13-bin",
    "openssl-3.0.13-dev",
    "source",
    "source-dev",
    "tool-0-unstable-2024-05-01",
    "tool-0-unstable-2024-05-01-dev",
]
PATHS = [store_path(name) for name in NAMES]


def names(name: str, paths: list[StorePath] = PATHS) -> list[str]:
    return [path.name for path in sorted(match_paths(paths, name), key=lambda path: path.name)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hello", ["hello-2.12.1"]),
        ("hello-2.12.1", ["hello-2.12.1"]),
        ("hello^out", ["hello-2.12.1"]),
        ("hello-2.12.1^out", ["hello-2.12.1"]),
        ("glibc", ["glibc-2.40"]),
        ("glibc^out", ["glibc-2.40"]),
        ("glibc^dev", ["glibc-2.40-dev"]),
        ("glibc-2.40", ["glibc-2.40"]),
        ("glibc-2.40^bin", ["glibc-2.40-bin"]),
        ("glibc-2.40-bin", ["glibc-2.40-bin"]),
        ("glibc-2.40-bin^out", ["glibc-2.40-bin"]),
        ("words", ["words-2.1-data"]),
        ("words^data", ["words-2.1-data"]),
        ("openssl", ["openssl-3.0.13-bin", "openssl-3.0.13-dev"]),
        ("source", ["source"]),
        ("source^dev", ["source-dev"]),
        ("tool", ["tool-0-unstable-2024-05-01"]),
        ("tool^dev", ["tool-0-unstable-2024-05-01-dev"]),
        ("tool-0-unstable-2024-05-01^dev", ["tool-0-unstable-2024-05-01-dev"]),
    ],
)
def test_a_name_matches(name: str, expected: list[str]) -> None:
    assert names(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("", "^", "^dev", "^out", "hello^", "hello^^out", "hello^dev^out", "hello^ou", "hell", "hell^out"),
        *("openssl^out", "hello-2.12^out", "hello-2^1", "glibc-2.40.drv", "glibc-2.40^dev.drv", "glibc-^dev", "GLIBC"),
        *("glibc-2.40^40", "glibc^2.40", "dev", "-", "é", "hello^é", "\ud800"),
    ],
)
def test_a_name_matches_nothing(name: str) -> None:
    assert names(name) == []


def test_a_name_without_a_version_matches_every_version() -> None:
    paths = [store_path(name) for name in ("a-1", "a-2", "a-2-dev", "a-3-dev")]
    assert names("a", paths) == ["a-1", "a-2"]
    assert names("a^dev", paths) == ["a-2-dev", "a-3-dev"]


def test_a_name_matches_all_paths_of_that_name() -> None:
    paths = [store_path("a-1", number) for number in range(3)]
    assert match_paths(paths, "a") == match_paths(paths, "a-1") == match_paths(paths, "a^out") == tuple(sorted(paths))


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_the_main_output_is_preferred_to_a_known_output(output: str) -> None:
    main, other = store_path("a-1"), store_path(f"a-1-{output}")
    assert match_paths([other, main], "a") == (main,)
    assert match_paths([other, main], f"a^{output}") == match_paths([other], "a") == (other,)
    assert has_output_suffix(other)
    assert not has_output_suffix(main)


def test_an_output_name_without_a_version_belongs_to_the_package_name() -> None:
    assert not has_output_suffix(store_path("source-dev"))
    assert not has_output_suffix(store_path("dev"))


def test_the_search_prefix_is_the_part_before_the_separator() -> None:
    assert [search_prefix(name) for name in ("hello", "hello-2.12.1^dev", "^dev")] == ["hello", "hello-2.12.1", ""]
