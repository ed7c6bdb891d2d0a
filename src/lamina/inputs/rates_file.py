"""The file of rates: how often packages change, compared with most packages, in TOML or JSON.

"glibc" = 0.5
"python3^*" = 2
"""

from __future__ import annotations

from typing import Any

from lamina.errors import FormatError
from lamina.formats.json_toml import name_type, parse_json, parse_toml
from lamina.layering.known_updates import GivenRates, parse_rates
from lamina.system.documents import read_document

_MAX_SIZE = 1 << 20
_EXPECTED = 'patterns and their rates in TOML, such as "glibc" = 0.5, or in JSON in a .json file'


def load(file: str, name: str = "rates") -> GivenRates:
    """Read the rates in ``file``.

    Args:
        file: the file, which is TOML unless its name ends in ``.json``.
        name: what errors call the argument that names it.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: it is neither TOML nor JSON, or too long.
        InvalidArgument: a pattern can match no store path, or a rate is no number in the limits.

    """
    subject = f"{name} {file}"
    data = read_document(file, subject, _EXPECTED, limit=_MAX_SIZE)
    document: Any = (parse_json if file.endswith(".json") else parse_toml)(data, subject, _EXPECTED)
    if not isinstance(document, dict):
        raise FormatError(subject, name_type(document), _EXPECTED)
    return parse_rates(document, subject)
