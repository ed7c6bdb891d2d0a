"""The header WWW-Authenticate is parsed as registries write it, and as RFC 9110 allows it."""

import pytest

from lamina.formats.auth_challenges import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", ()),
        ("Basic", (Challenge("basic", {}),)),
        ('Basic realm="a, b"', (Challenge("basic", {"realm": "a, b"}),)),
        (
            'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull,push"',
            (
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "registry.example",
                        "scope": "repository:a:pull,push",
                    },
                ),
            ),
        ),
        ('BEARER Realm = x , Error="a\\"b"', (Challenge("bearer", {"realm": "x", "error": 'a"b'}),)),
        (
            'Negotiate, Basic realm="x", Bearer realm="y"',
            tuple(
                Challenge(scheme, parameters)
                for scheme, parameters in (("negotiate", {}), ("basic", {"realm": "x"}), ("bearer", {"realm": "y"}))
            ),
        ),
        ('Bearer realm="x", realm="y"', (Challenge("bearer", {"realm": "x"}),)),
        ('Bearer realm="open', (Challenge("bearer", {"realm": ""}),)),
        ("@@", ()),
    ],
)
def test_a_header_is_parsed(header: str, challenges: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == challenges


def test_a_long_header_takes_no_long_time() -> None:
    assert parse_challenges('Bearer realm="' + "\\a" * 30_000) == (Challenge("bearer", {"realm": ""}),)
    assert len(parse_challenges("a " * 30_000)) == 30_000
