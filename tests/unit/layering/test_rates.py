"""Rates that names suggest."""

import pytest
from tests.support.factories import closure, info

from lamina.core.closure import Closure
from lamina.layering.rates import ORDINARY, STABLE, WRITTEN_FOR_THE_IMAGE, estimate_rates

VERSIONED = ("glibc-2.39", "zlib-1.3", "openssl-3.0.14")


def rate(name: str) -> int:
    found = Closure.of(map(info, (*VERSIONED, name)))
    return dict(zip([each.path.name for each in found], estimate_rates(found), strict=True))[name]


@pytest.mark.parametrize("name", ["python3.12-numpy-1.26.4", "perl5.38.2-URI-5.21", "python3-numpy-1.24.2"])
def test_modules_of_an_interpreter_are_stable(name: str) -> None:
    assert rate(name) == STABLE


@pytest.mark.parametrize("name", ["python3-3.12.3", "perl-5.38.2", "nodejs-20.11", "ruby-3.1.4", "r-4.3", "rsync-3.2"])
def test_interpreters_are_ordinary(name: str) -> None:
    assert rate(name) == ORDINARY


@pytest.mark.parametrize("name", ["tzdata-2024a", "dejavu-fonts-2.37", "hicolor-icon-theme-0.17"])
def test_fonts_time_zones_and_icons_are_stable(name: str) -> None:
    assert rate(name) == STABLE


@pytest.mark.parametrize("name", ["silicons-1.0", "fontconfig-2.15", "localedef-1.0"])
def test_names_that_only_begin_like_data_are_ordinary(name: str) -> None:
    assert rate(name) == ORDINARY


def test_a_name_without_a_version_was_written_for_the_image() -> None:
    assert rate("app-config") == WRITTEN_FOR_THE_IMAGE


def test_names_without_versions_say_nothing_if_most_have_none() -> None:
    assert set(estimate_rates(closure("A→B,C"))) == {ORDINARY}
