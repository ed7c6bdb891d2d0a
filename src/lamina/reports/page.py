"""Assemble an HTML page of its parts: styles, scripts and a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from lamina.reports.markup import Markup, element, join


def make_page(title: str, body: Iterable[Markup], *, styles: Sequence[str], scripts: Sequence[str]) -> bytes:
    """Return a whole page.

    Args:
        title: its title.
        body: the elements of its body.
        styles: the names of the style sheets in the folder ``assets``.
        scripts: the names of the scripts in it, which share one scope, in the order in which they run.

    Returns:
        The page in UTF-8. What UTF-8 cannot hold, such as a byte of a file name that is no text, is written as an
        escape.

    """
    style, script = _join_assets(styles), _join_assets(scripts)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=make_policy(styles, scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    page = element("html", head, element("body", join(body), element("script", Markup(script))), lang="en")
    return f"<!doctype html>\n{page}\n".encode("utf-8", "backslashreplace")


def make_policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the policy that allows these styles and scripts, and no request (W3C, Content Security Policy 3)."""
    return (
        f"default-src 'none'; style-src {_hash(_join_assets(styles))}; script-src {_hash(_join_assets(scripts))}; "
        "base-uri 'none'; form-action 'none'"
    )


def _join_assets(names: Sequence[str]) -> str:
    return "\n".join(map(_read_asset, names))


@cache
def _read_asset(name: str) -> str:
    return resources.files("lamina.reports").joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
