"""Places of workers, as users name them."""

import pytest

from lamina.errors import InvalidArgument
from lamina.fleet.where import DaskScheduler, LocalWorkers, Where, parse_where


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", LocalWorkers(3)),
        ("local:1", LocalWorkers(1)),
        ("local:256", LocalWorkers(256)),
        ("tcp://10.0.0.1:8786", DaskScheduler("tcp://10.0.0.1:8786")),
        ("tls://scheduler.example:1", DaskScheduler("tls://scheduler.example:1")),
        ("tcp://[::1]:8786", DaskScheduler("tcp://[::1]:8786")),
    ],
)
def test_a_place_is_parsed(text: str, expected: Where) -> None:
    assert parse_where("--on", text, 3) == expected


def test_a_place_is_written_as_it_is_parsed() -> None:
    for text in ("local:3", "tcp://10.0.0.1:8786"):
        assert str(parse_where("--on", text, 1)) == text


@pytest.mark.parametrize("text", ["local:0", "local:257", "local:99999999999999"])
def test_the_number_of_processes_has_limits(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"--on: got 'local:\d+', expected a number from 1 to 256"):
        parse_where("--on", text, 1)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Local", "local:", "local:-1", "local:x", "local:٣", "local: 2", "remote", "10.0.0.1:8786"),
        *("tcp://", "tcp://host", "tcp://:8786", "tcp://host:0", "tcp://host:99999", "tcp://host:x", "tcp://[::1:8786"),
        *("tcp://host:1/path", "tcp://host:1?a", "tcp://user@host:1", "ucx://host:8786", "http://host:8786", 5, None),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="expected local, local:N or the address of a Dask scheduler"):
        parse_where("on", text, 1)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_where("--on", "tcp://user:hush@host:8786", 1)
    assert "hush" not in str(caught.value)
    assert caught.value.hint == "Dask knows no passwords; it uses certificates, with tls://"
