"""The old and the new version of a package."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.names import NIX32, StorePath
from lamina.images.package_changes import describe_versions, pair_packages, share_out


def make_path(name: str, seed: int = 1) -> StorePath:
    return StorePath("".join(random.Random(f"{name} {seed}").choices(NIX32, k=32)) + "-" + name)


def pair_names(old: list[str], new: list[str]) -> set[tuple[str, str]]:
    """Return the pairs of names for images in which every path has another hash."""
    pairs = pair_packages([make_path(name, 1) for name in old], [make_path(name, 2) for name in new])
    return {(before.name if before else "", after.name if after else "") for before, after in pairs}


def test_a_path_of_both_images_is_paired_with_itself() -> None:
    path = make_path("glibc-2.40")
    assert pair_packages([path], [path]) == [(path, path)]


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        (["openssl-3.0.13"], ["openssl-3.0.14"], {("openssl-3.0.13", "openssl-3.0.14")}),
        (["bash-5.2"], ["bash-5.2"], {("bash-5.2", "bash-5.2")}),
        (["curl-8.9"], ["wget-1.2"], {("curl-8.9", ""), ("", "wget-1.2")}),
        # Each output has its own history.
        (
            ["openssl-3.0.13", "openssl-3.0.13-bin"],
            ["openssl-3.0.14-bin", "openssl-3.0.14"],
            {("openssl-3.0.13", "openssl-3.0.14"), ("openssl-3.0.13-bin", "openssl-3.0.14-bin")},
        ),
        (["openssl-3.0.13-dev"], ["openssl-3.0.14"], {("openssl-3.0.13-dev", ""), ("", "openssl-3.0.14")}),
        (
            ["gcc-13.2", "gcc-13.2-libgcc"],
            ["gcc-13.3-libgcc"],
            {("gcc-13.2", ""), ("gcc-13.2-libgcc", "gcc-13.3-libgcc")},
        ),
        # A word that is no output of nixpkgs may belong to the version.
        (["app-1.0-beta"], ["app-1.0"], {("app-1.0-beta", "app-1.0")}),
        # A rebuilt package is not the update of another version.
        (["lua-5.1", "lua-5.4"], ["lua-5.4", "lua-5.5"], {("lua-5.4", "lua-5.4"), ("lua-5.1", "lua-5.5")}),
        (["go-1.9", "go-1.10"], ["go-1.9.1", "go-1.10.1"], {("go-1.9", "go-1.9.1"), ("go-1.10", "go-1.10.1")}),
        (["python3.12-six-1.16"], ["python3.12-six-1.17"], {("python3.12-six-1.16", "python3.12-six-1.17")}),
    ],
)
def test_versions_of_a_package_are_paired(old: list[str], new: list[str], pairs: set[tuple[str, str]]) -> None:
    assert pair_names(old, new) == pairs


NAMES = st.sampled_from(["a-1", "a-2", "a-10", "a-1-dev", "a-2-dev", "a-1-x", "b-1", "b", "a-1-rc2"])


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True), st.integers(0, 9))
def test_every_path_is_in_exactly_one_pair_whatever_the_order(old: list[str], new: list[str], seed: int) -> None:
    before, after = [make_path(name, 1) for name in old], [make_path(name, len(name) % 2) for name in new]
    pairs = pair_packages(before, after)
    assert sorted(path for path, _ in pairs if path) == sorted(before)
    assert sorted(path for _, path in pairs if path) == sorted(after)
    random.Random(seed).shuffle(before)
    assert set(pair_packages(before, after)) == set(pairs)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("openssl-3.0.13", "openssl-3.0.14", "openssl-3.0.13 → 3.0.14"),
        ("openssl-3.0.13-bin", "openssl-3.0.14-bin", "openssl-3.0.13-bin → 3.0.14-bin"),
        ("bash-5.2", "bash-5.2", "bash-5.2"),
        ("app", "app-1.0", "app → 1.0"),
        ("app-1.0", "app", "app-1.0 → app"),
    ],
)
def test_the_name_of_a_package_is_not_repeated(old: str, new: str, text: str) -> None:
    assert describe_versions(old, new) == text


@given(st.integers(0, 1 << 40), st.lists(st.integers(0, 1 << 40), min_size=1, max_size=20))
def test_shares_add_up_to_the_total_and_follow_the_weights(total: int, weights: list[int]) -> None:
    shares = share_out(total, weights)
    assert sum(shares) == total
    whole = sum(weights) or len(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * (weight if any(weights) else 1) / whole) <= 1
