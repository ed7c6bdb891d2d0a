"""The names of arguments as users wrote them, for errors.

Only a run that fails imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.cli.image_options import ContainerOptions
from lamina.errors import Error
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.specfile import find_key


def find_written_name(subject: str, values: Mapping[str, Any]) -> str:
    """Return the subject of an error with the option or the key of a spec file that gave the argument it names.

    Args:
        subject: The subject. Its last part, after a colon, may name an argument, an entry of ``tree``, or an option of
            the container config.
        values: The values of click's parameters.
    """
    context, colon, last = subject.rpartition(": ")
    name, _, kind = last.partition(".")
    name = name.replace(" ", "_")
    if name in ContainerOptions._fields and _is_given(values.get(name)):
        return f"{context}{colon}--{name.replace('_', '-')}"
    flags = ARGUMENTS[name].flags if name in ARGUMENTS else ARGUMENTS["tree"].flags
    kind = kind if name in ARGUMENTS else name
    given = [flag.name for flag in flags if flag.name.startswith("--") and _is_given(values.get(flag.parameter))]
    options = [option for option in given if not kind or option == f"--{kind}"]
    if options:
        return f"{context}{colon}{options[0]}"
    key = _find_spec_key(values.get("spec"), name)
    return f"{context}{colon}{key}{last[len(name) :]}" if key else subject


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _find_spec_key(spec: str | None, name: str) -> str | None:
    try:
        return find_key(spec, name) if spec else None
    except Error:
        return None
