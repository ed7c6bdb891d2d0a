"""Write HTML so that no text can be taken for markup.

`element` escapes every text and every value of an attribute; only what it returns itself, a `Markup`, is used as it
is (HTML Living Standard, "Serialising HTML fragments" and "Restrictions on the contents of raw text elements").
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

# Elements that have no content and no end tag (HTML Living Standard, "Void elements").
_VOID = frozenset(("col", "input", "meta"))
# The only ways to end a script element early, or to begin a comment in it, contain one of these. In JSON they occur
# within strings alone, where an escape means the same.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str | Iterable[str], **attributes: str | int | None) -> Markup:
    """Return an HTML element.

    Args:
        name: its name.
        *content: its content: texts, which are escaped, elements, or iterables of them.
        **attributes: its attributes. ``_`` in a name stands for ``-``, and one at the end is dropped (``class_``).
            True writes the name alone, and None or False leave the attribute out.

    Returns:
        The element as markup.

    """
    start = f"<{name}{''.join(_dump_attribute(*item) for item in attributes.items())}>"
    if name in _VOID:
        return Markup(start)
    return Markup(f"{start}{join(content)}</{name}>")


def join(content: Iterable[str | Iterable[str]]) -> Markup:
    """Return texts and elements one after the other; texts are escaped."""
    return Markup("".join(_escape(item) if isinstance(item, str) else join(item) for item in content))


def data_element(identifier: str, data: Any) -> Markup:
    """Return a ``script`` element that holds ``data`` as JSON and that browsers do not run."""
    text = json.dumps(data, separators=(",", ":")).translate(_ESCAPES)
    return element("script", Markup(text), id=identifier, type="application/json")


def _escape(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text, quote=False)


def _dump_attribute(name: str, value: str | int | None) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {written}"
    return f' {written}="{html.escape(str(value))}"'
