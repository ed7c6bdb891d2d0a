"""What differs between two configs."""

from typing import Any

import pytest

from lamina.images.config_changes import ConfigChange, compare_configs


def compare_settings(old: Any, new: Any) -> tuple[ConfigChange, ...]:
    return compare_configs({"config": old}, {"config": new})


def test_equal_configs_have_no_changes() -> None:
    config = {"architecture": "amd64", "config": {"Env": ["A=1"], "Cmd": ["/bin/sh"]}}
    assert compare_configs(config, dict(config)) == ()


def test_history_and_layers_are_not_part_of_the_config() -> None:
    assert compare_configs({"rootfs": {"diff_ids": ["x"]}, "history": []}, {"rootfs": {}}) == ()


def test_variables_are_compared_one_by_one() -> None:
    changes = compare_settings({"Env": ["A=1", "B=2", "C=3"]}, {"Env": ["C=3", "B=x=y", "D="]})
    assert changes == (
        ConfigChange("Env", "A", "1", None),
        ConfigChange("Env", "B", "2", "x=y"),
        ConfigChange("Env", "D", None, ""),
    )


def test_labels_ports_and_volumes_are_compared_one_by_one() -> None:
    changes = compare_settings({"Labels": {"a": "1", "b": "2"}}, {"Labels": {"a": "2"}, "ExposedPorts": {"80/tcp": {}}})
    assert changes == (
        ConfigChange("Labels", "a", "1", "2"),
        ConfigChange("Labels", "b", "2", None),
        ConfigChange("ExposedPorts", "80/tcp", None, {}),
    )


def test_other_settings_are_compared_as_a_whole() -> None:
    (change,) = compare_settings({"Cmd": ["/bin/a"], "User": None}, {"Cmd": ["/bin/a", "-v"], "Entrypoint": None})
    assert change == ConfigChange("Cmd", "", ["/bin/a"], ["/bin/a", "-v"])


def test_the_platform_and_the_date_are_compared() -> None:
    old, new = {"architecture": "amd64", "created": "1970-01-01T00:00:01Z"}, {"architecture": "arm64", "variant": "v8"}
    assert [(change.key, change.old, change.new) for change in compare_configs(old, new)] == [
        ("architecture", "amd64", "arm64"),
        ("created", "1970-01-01T00:00:01Z", None),
        ("variant", None, "v8"),
    ]


@pytest.mark.parametrize("settings", [None, [], "text", 1, {"Env": "A=1"}, {"Env": [1]}, {"Env": {"A": 1}}])
def test_a_config_of_another_form_is_compared_as_it_is(settings: Any) -> None:
    assert compare_settings(settings, settings) == ()
    assert compare_settings(settings, {"Cmd": []})[-1] == ConfigChange("Cmd", "", None, [])
