"""Users and groups join those of a base image."""

import pytest

from lamina.rootfs.accounts import find_no_file, merge_accounts

BASE = b"root:x:0:0::/root:/bin/bash\nuser:x:1000:100::/home/user:/bin/sh\n"


def test_only_new_names_are_added_after_the_lines_of_the_base() -> None:
    merged, added = merge_accounts(BASE, b"root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n")
    assert merged == BASE + b"nobody:x:65534:65534::/:/bin/false\n"
    assert added == ("nobody",)


def test_a_last_line_without_a_newline_is_ended() -> None:
    merged, added = merge_accounts(b"a:x:1", b"b:x:2\nc:x:3")
    assert merged == b"a:x:1\nb:x:2\nc:x:3\n"
    assert added == ("b", "c")


@pytest.mark.parametrize("base", [BASE, BASE[:-1], b""])
def test_without_new_names_the_file_stays_as_it_is(base: bytes) -> None:
    assert merge_accounts(base, base) == (base, ())
    assert merge_accounts(base, b"") == (base, ())


def test_without_a_base_image_no_file_is_found() -> None:
    assert find_no_file(b"etc/passwd", 100) is None
