"""Find what differs between the configs of two images: the platform, the date, and the settings of a container.

The keys are those of the OCI image configuration. An environment variable, a label, a port and a volume are compared
one by one, and every other setting as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_IMAGE_KEYS = ("architecture", "variant", "os", "os.version", "created", "author")
_SETTINGS = "config"


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A part of a config that two images have differently.

    Attributes:
        key: the key in the OCI image configuration, such as ``Cmd`` or ``Env``.
        name: the variable of ``Env``, or the key inside ``Labels``, ``ExposedPorts`` or ``Volumes``; empty for the
            whole value.
        old: the value in the old image, as in its JSON; None if there is none.
        new: the value in the new image, as in its JSON; None if there is none.
    """

    key: str
    name: str
    old: Any
    new: Any


def compare_configs(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[ConfigChange, ...]:
    """Return what differs, in the order of the old config; what only the new one has comes last.

    Args:
        old: the config of the old image, parsed.
        new: the config of the new image, parsed.
    """
    before, after = dict(_list_values(old)), dict(_list_values(new))
    return tuple(
        ConfigChange(*place, before.get(place), after.get(place))
        for place in dict.fromkeys((*before, *after))
        if before.get(place) != after.get(place)
    )


def _list_values(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield each value with its key and its name. Programs in Go write null for a value that is not set."""
    for key in _IMAGE_KEYS:
        if config.get(key) is not None:
            yield (key, ""), config[key]
    settings = config.get(_SETTINGS)
    for key, value in settings.items() if isinstance(settings, dict) else ():
        match value:
            case None:
                pass
            case dict():
                yield from (((key, name), item) for name, item in value.items())
            case list() if key == "Env" and all(isinstance(item, str) for item in value):
                variables = (item.partition("=") for item in value)
                yield from (((key, name), text) for name, _, text in variables)
            case _:
                yield (key, ""), value
