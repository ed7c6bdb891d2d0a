"""Laws of matching names of packages with store paths."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lamina.core.name_match import OUTPUTS, has_output_suffix, match_paths, search_prefix
from lamina.core.names import NIX32, StorePath

PACKAGES = st.sampled_from(["a", "b", "a-b", "glibc", "glibc-locales"])
VERSIONS = st.sampled_from(["", "-1", "-1.0", "-2.40", "-unstable-2024-01-01", "-dev-3"])
ENDINGS = st.sampled_from(["", "", "-dev", "-bin", "-data", "-x-dev", ".drv"])
STORE_NAMES = st.builds("{}{}{}".format, PACKAGES, VERSIONS, ENDINGS)
PATHS = st.lists(st.builds(lambda digit, name: StorePath(f"{digit * 32}-{name}"), st.sampled_from(NIX32), STORE_NAMES))
QUERIES = st.one_of(
    STORE_NAMES,
    st.builds("{}^{}".format, STORE_NAMES, st.sampled_from(["out", "dev", "bin", "data", "", "x-dev"])),
    st.text("ab-1^ out.", max_size=6),
    st.text(max_size=6),
)


@given(PATHS, QUERIES, st.randoms())
def test_matches_are_ascending_and_do_not_depend_on_the_order(
    paths: list[StorePath], name: str, random_source: object
) -> None:
    found = match_paths(paths, name)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(paths)
    assert match_paths(reversed(paths + paths), name) == found


@given(PATHS, QUERIES)
def test_matches_are_no_derivations_and_have_the_search_prefix(paths: list[StorePath], name: str) -> None:
    """A store can therefore search for the prefix and match only what it finds."""
    found = match_paths(paths, name)
    assert all(not path.name.endswith(".drv") and path.name.startswith(search_prefix(name)) for path in found)
    assert match_paths([path for path in paths if f"-{search_prefix(name)}" in path.base], name) == found


@given(PATHS)
def test_a_full_name_matches_every_path_with_it(paths: list[StorePath]) -> None:
    for path in paths:
        if not path.name.endswith(".drv"):
            assert path in match_paths(paths, path.name)
            assert path in match_paths(paths, f"{path.name}^out")


@given(PATHS)
def test_a_package_matches_its_main_outputs(paths: list[StorePath]) -> None:
    for package in {path.package for path in paths}:
        found = match_paths(paths, package)
        present = {path for path in paths if path.package == package and not path.name.endswith(".drv")}
        main = {path for path in present if not has_output_suffix(path)}
        assert set(found) == (main or present) | of_name(paths, package)


@given(PATHS, st.sampled_from(sorted(OUTPUTS)), STORE_NAMES)
def test_an_output_is_found_by_suffix_and_by_caret(paths: list[StorePath], output: str, name: str) -> None:
    path = StorePath(f"{'0' * 32}-{name}-{output}")
    all_paths = [*paths, path]
    assert path in match_paths(all_paths, f"{name}^{output}")
    assert path in match_paths(all_paths, f"{name}-{output}")
    assert set(match_paths(all_paths, f"{name}^{output}")) >= of_name(all_paths, f"{name}-{output}")


def of_name(paths: Sequence[StorePath], name: str) -> set[StorePath]:
    return {path for path in paths if path.name == name and not path.name.endswith(".drv")}
