"""Laws of choosing."""

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
ASKED = st.one_of(
    STORE_NAMES,
    st.builds("{}^{}".format, STORE_NAMES, st.sampled_from(["out", "dev", "bin", "data", "", "x-dev"])),
    st.text("ab-1^ out.", max_size=6),
    st.text(max_size=6),
)


@given(PATHS, ASKED, st.randoms())
def test_the_choice_is_ascending_and_does_not_depend_on_the_order(
    paths: list[StorePath], name: str, dice: object
) -> None:
    found = match_paths(paths, name)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(paths)
    assert match_paths(reversed(paths + paths), name) == found


@given(PATHS, ASKED)
def test_no_derivation_is_chosen_and_all_that_is_has_the_common_part(paths: list[StorePath], name: str) -> None:
    """A store may therefore look for that part alone, and choose among what it finds."""
    found = match_paths(paths, name)
    assert all(not path.name.endswith(".drv") and path.name.startswith(search_prefix(name)) for path in found)
    assert match_paths([path for path in paths if f"-{search_prefix(name)}" in path.base], name) == found


@given(PATHS)
def test_a_whole_name_means_every_path_of_it(paths: list[StorePath]) -> None:
    for path in paths:
        if not path.name.endswith(".drv"):
            assert path in match_paths(paths, path.name)
            assert path in match_paths(paths, f"{path.name}^out")


@given(PATHS)
def test_a_package_means_something_where_it_is_there(paths: list[StorePath]) -> None:
    for package in {path.package for path in paths}:
        found = match_paths(paths, package)
        there = {path for path in paths if path.package == package and not path.name.endswith(".drv")}
        main = {path for path in there if not has_output_suffix(path)}
        assert set(found) == (main or there) | of_name(paths, package)


@given(PATHS, st.sampled_from(sorted(OUTPUTS)), STORE_NAMES)
def test_an_output_is_found_by_its_name_and_by_its_mark(paths: list[StorePath], output: str, name: str) -> None:
    path = StorePath(f"{'0' * 32}-{name}-{output}")
    everything = [*paths, path]
    assert path in match_paths(everything, f"{name}^{output}")
    assert path in match_paths(everything, f"{name}-{output}")
    assert set(match_paths(everything, f"{name}^{output}")) >= of_name(everything, f"{name}-{output}")


def of_name(paths: Sequence[StorePath], name: str) -> set[StorePath]:
    return {path for path in paths if path.name == name and not path.name.endswith(".drv")}
