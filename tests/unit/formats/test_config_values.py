"""Values that engines refuse when a container starts cause warnings."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.formats.config_values import list_doubtful_values
from lamina.formats.container_config import parse


@pytest.mark.parametrize(
    ("key", "value", "warning"),
    [
        ("WorkingDir", "srv", "WorkingDir: got 'srv', expected an absolute path"),
        ("Volumes", {"/a": {}, "data": {}}, "Volumes: got 'data', expected absolute paths"),
        ("ExposedPorts", {"80/tcp": {}, "http": {}}, "ExposedPorts: got 'http', expected N, N/tcp or N/udp"),
        ("StopSignal", "SIGFOO", "StopSignal: got 'SIGFOO', expected a signal of Linux, such as SIGINT"),
        (
            "StopSignal",
            "SIGTREM",
            "StopSignal: got 'SIGTREM', expected a signal of Linux, such as SIGINT; did",
        ),
        ("StopSignal", "0", "StopSignal: got '0', expected a signal of Linux"),
        ("StopSignal", "RTMIN+16", "StopSignal: got 'RTMIN+16', expected a signal of Linux"),
        (
            "Healthcheck",
            {"Interval": 30},
            "Healthcheck.Interval: got 30 nanoseconds, expected a millisecond or more; ",
        ),
        ("Healthcheck", {"Timeout": -1}, "Healthcheck.Timeout: got -1 nanoseconds, expected a millisecond or more"),
        (
            "Healthcheck",
            {"Test": ["curl", "x"]},
            "Healthcheck.Test: got 'curl', expected one of NONE, CMD, CMD-S",
        ),
    ],
)
def test_a_value_that_engines_refuse_causes_a_warning(key: str, value: Any, warning: str) -> None:
    (found,) = list_doubtful_values([(key, value)])
    assert found.startswith(f"config.{warning}")


def test_what_engines_accept_causes_no_warning() -> None:
    for signal in ("SIGTERM", "int", "9", "64", "SIGRTMIN+3", "rtmax-14", ""):
        assert list(list_doubtful_values([("StopSignal", signal)])) == []
    config = {
        "WorkingDir": "/srv",
        "Volumes": {"/data": None},
        "ExposedPorts": {"80": {}, "53/udp": {}, "8000-8010/tcp": {}},
        "Healthcheck": parse({"Healthcheck": {"Test": ["CMD", "x"], "Interval": "30s", "Timeout": 0}})["Healthcheck"],
        "StopSignal": None,
    }
    assert list(list_doubtful_values(config.items())) == []
