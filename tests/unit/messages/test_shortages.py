"""Messages of other programs about a shortage give the error number of the shortage."""

import errno

import pytest

from lamina.messages.shortages import find_errno


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("bash: fork: retry: Resource temporarily unavailable", errno.EAGAIN),
        ("RuntimeError: can't start new thread", errno.EAGAIN),
        ("zstd: Allocation error : not enough memory", errno.ENOMEM),
        ("x.so: failed to map segment from shared object", errno.ENOMEM),
        ("Too many open files in system", errno.EMFILE),
        ("tar: write error: No space left on device", errno.ENOSPC),
        ("Disk quota exceeded", errno.EDQUOT),
        ("No such file or directory", None),
        ("", None),
    ],
)
def test_a_phrase_names_the_shortage(text: str, number: int | None) -> None:
    assert find_errno(text) == number
