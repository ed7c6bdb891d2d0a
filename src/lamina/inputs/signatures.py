"""Signatures and docstrings that list each argument of the table.

The public functions take ``**arguments: Unpack[ImageArguments]``. Type checkers resolve that, but ``help()`` and most
editors show it as it is. `expand` replaces it by the arguments themselves, with their types, defaults and descriptions.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, Signature
from typing import Any, ForwardRef, TypeVar

from lamina.inputs.arguments import ARGUMENTS, ImageArguments, StoreArguments

_F = TypeVar("_F", bound=Callable[..., Any])
_TABLES: Mapping[str, type[Any]] = {
    "Unpack[ImageArguments]": ImageArguments,
    "Unpack[StoreArguments]": StoreArguments,
}
# The source of a function indents its docstring by four more columns.
_WIDTH = 120 - 4


def expand(function: _F) -> _F:
    """Give ``function`` a signature and a docstring with all arguments that it takes, and return it.

    A function that takes no table of arguments, or was expanded before, stays as it is.
    """
    signature = inspect.signature(function)
    tables = [found for one in signature.parameters.values() if (found := _TABLES.get(str(one.annotation)))]
    if tables:
        names = list(tables[0].__annotations__)
        function.__signature__ = _expand_signature(signature, names)  # type: ignore[attr-defined]
        function.__doc__ = _expand_docstring(inspect.getdoc(function) or "", names)
    return function


def _expand_signature(signature: Signature, names: list[str]) -> Signature:
    own = [one for one in signature.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
    table = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=ARGUMENTS[name].default, annotation=format_type(name))
        for name in names
    ]
    return signature.replace(parameters=[*own, *table])


def format_type(name: str) -> str:
    """Return the type of the argument ``name``, as in the source of the table."""
    annotation = ImageArguments.__annotations__[name].__origin__
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    text = inspect.formatannotation(annotation).replace("collections.abc.", "").replace("typing.", "")
    return text.replace("str | os.PathLike[str]", "StrPath")


def _expand_docstring(text: str, names: list[str]) -> str:
    """Replace the line about ``**arguments`` by one entry for each of ``names`` that ``text`` does not describe."""
    described = re.findall(r"^    (\w+): ", text, re.MULTILINE)
    entries = [line for name in names if name not in described for line in _describe(name)]
    return re.sub(r"^    \*\*\w+: .*$(\n     .*)*", lambda _: "\n".join(entries), text, flags=re.MULTILINE)


def _describe(name: str) -> Iterator[str]:
    """Yield the lines of an argument's entry; `textwrap` would take five times as long, in every command."""
    line = f"    {name}:"
    first, *others = ARGUMENTS[name].description.split(" ")
    for word in (first.lower(), *others):
        if len(line) + len(word) >= _WIDTH:
            yield line
            line = "       "
        line = f"{line} {word}"
    yield line
