"""The names of arguments as users wrote them, for errors.

Only a run that fails imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.errors import Error
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.specfile import find_key


def find_written_name(subject: str, values: Mapping[str, Any]) -> str:
    """Return the subject of an error with the option or the key of a spec file that gave the argument it names.

    Args:
        subject: The subject. The last part, after a colon, may be the Python name of an argument.
        values: The values of click's parameters.
    """
    context, colon, last = subject.rpartition(": ")
    name, _, kind = last.partition(".")
    if name not in ARGUMENTS:
        return subject
    given = [flag.name for flag in ARGUMENTS[name].flags if values.get(flag.parameter) not in (None, False, ())]
    options = [option for option in given if option.startswith("--") and (not kind or option == f"--{kind}")]
    if options:
        return f"{context}{colon}{options[0]}"
    key = _find_spec_key(values.get("spec"), name)
    return f"{context}{colon}{key}{last.removeprefix(name)}" if key else subject


def _find_spec_key(spec: str | None, name: str) -> str | None:
    try:
        return find_key(spec, name) if spec else None
    except Error:
        return None
