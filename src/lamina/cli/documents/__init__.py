"""The documents that ``--json`` prints: their keys, types, units and meaning, and how each is made of a result.

The JSON Schema of each document is a file in ``lamina/schemas``, which ``script/schemas`` writes from these types.
docs/json.md lists the words that all documents share. A document only ever grows: a key that got a better name keeps
the old one beside it, described as `DEPRECATED`, and a consumer has to expect keys that it does not know.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

DEPRECATED = "Deprecated name of "


class Document(TypedDict):
    """The common part of all documents. The key ``version`` is not in it, and is printed first.

    A type `Annotated` with a text has that text as its description.
    """

    warnings: Annotated[list[str], "What the user should know about the result; each warning is one line."]
