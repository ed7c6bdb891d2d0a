"""Several stores that fail for one path give one error."""

import pytest
from tests.support.factories import path

from lamina.errors import Error, FormatError, IntegrityError, NotFound, Unavailable
from lamina.stores.failures import StoreFailure, combine_failures

ABSENT = StoreFailure("http://one", None)
DOWN = StoreFailure("http://two", Unavailable("http://two", got="nothing", expected="an answer", hint="try later"))
BAD = StoreFailure("http://three", IntegrityError("x", got="another hash", expected="that", hint="repair it"))


@pytest.mark.parametrize("failure", [DOWN, BAD])
def test_the_error_of_a_single_store_is_kept(failure: StoreFailure) -> None:
    assert combine_failures(path("A"), [failure]) is failure.error


@pytest.mark.parametrize(
    ("failures", "kind", "hint"),
    [((ABSENT,), NotFound, ""), ((ABSENT, DOWN), NotFound, "try later"), ((DOWN, BAD), IntegrityError, "repair it")],
)
def test_several_failures_are_one_error_that_names_each(
    failures: tuple[StoreFailure, ...], kind: type[Error], hint: str
) -> None:
    error = combine_failures(path("A"), failures)
    assert type(error) is kind
    assert str(error).startswith(f"{path('A')}: got no usable copy in {len(failures)} stores")
    assert all(str(failure) in str(error) for failure in failures)
    assert error.hint == hint


def test_several_failures_are_transient_if_one_of_them_is() -> None:
    lasting = StoreFailure("http://four", Unavailable("http://four", "HTTP 400", "the file"))
    passing = StoreFailure("http://five", Unavailable("http://five", "HTTP 503", "the file", is_transient=True))
    assert not combine_failures(path("A"), [ABSENT, lasting]).is_transient
    assert combine_failures(path("A"), [ABSENT, passing]).is_transient


def test_contents_that_are_no_nar_are_refused_and_a_bad_document_is_not() -> None:
    error = FormatError("x", got="y", expected="z")
    assert StoreFailure("s", error, contents_refused=True).is_refusal
    assert not StoreFailure("s", error).is_refusal
    assert str(ABSENT) == "http://one: no such path"
