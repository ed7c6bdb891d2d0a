"""The package, the version and the output in the name of a store path; tests/integration compares with real Nix."""

import pytest
from tests.support.factories import path
from tests.support.package_names import DERIVATION_NAMES

from lamina.core.package_names import PackageName


@pytest.mark.parametrize("name", DERIVATION_NAMES)
def test_the_name_of_a_main_output_is_split_as_nix_does_it(name: str) -> None:
    expected = PackageName(*DERIVATION_NAMES[name])
    assert PackageName.parse(path(name)) == PackageName.parse(path(name), name) == expected


@pytest.mark.parametrize("name", DERIVATION_NAMES)
@pytest.mark.parametrize("output", ["dev", "lib", "my-own", "2"])
def test_the_name_of_the_derivation_tells_the_output(name: str, output: str) -> None:
    expected = PackageName(*DERIVATION_NAMES[name], output)
    assert PackageName.parse(path(f"{name}-{output}"), name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glibc-2.40-66-dev", ("glibc", "2.40-66", "dev")),
        ("gcc-13.3.0-libgcc", ("gcc", "13.3.0", "libgcc")),
        ("util-linux-2.41-bin", ("util-linux", "2.41", "bin")),
        ("python3.13-requests-2.32.5-dist", ("python3.13-requests", "2.32.5", "dist")),
        # The last word is that of a version, or of a package without a version.
        ("x264-0-unstable-2025-01-03", ("x264", "0-unstable-2025-01-03", "")),
        ("openssl-3.0.0-alpha", ("openssl", "3.0.0-alpha", "")),
        ("dev", ("dev", "", "")),
        ("libcap-dev", ("libcap-dev", "", "")),
    ],
)
def test_without_a_derivation_known_words_after_a_version_are_outputs(name: str, expected: tuple[str, ...]) -> None:
    assert PackageName.parse(path(name)) == PackageName(*expected)


def test_a_derivation_of_another_name_says_nothing() -> None:
    assert PackageName.parse(path("glibc-2.40-dev"), "hello-2.12") == PackageName("glibc", "2.40", "dev")
    assert PackageName.parse(path("hello-2.12"), "hello-2.1") == PackageName("hello", "2.12", "")
