"""The ``lamina`` group: its verbs by name.

Invariant: listing the verbs imports no verb's module, and running one imports only its own module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click

import lamina
from lamina.cli.lazy_group import LazyGroup
from lamina.errors import output_error

# Verb → its line in ``lamina --help``. The module of the same name holds the verb as ``command``.
_VERBS = {
    "stream": "The image as a docker-archive on stdout, in one pass.",
    "build": "An image file, written whole or not at all.",
    "script": "An executable script that streams the image when it is run.",
    "plan": "Which store path goes to which layer; builds nothing.",
    "inspect": "What an image file or an OCI layout holds.",
    "merge": "Several images in one archive.",
    "export": "The root file system of an image as a tar.",
    "store": "The store that lamina keeps: fetch, add, ls, info, verify, gc …",
    "cache": "What lamina keeps in the cache folder: info, prune, clean.",
}


class _VerbGroup(LazyGroup):
    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _translate_broken_pipe():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _translate_broken_pipe():
            return super().invoke(ctx)


@contextlib.contextmanager
def _translate_broken_pipe() -> Iterator[None]:
    """Turn `BrokenPipeError` into `OutputError`: click would handle it first, with an exit code of its own."""
    try:
        yield
    except BrokenPipeError as error:
        raise output_error("pipe", error) from error


@click.group(
    cls=_VerbGroup,
    package="lamina.cli",
    noun="verb",
    summaries=_VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: lamina stream /nix/store/…-hello-2.12.1 | docker load",
)
@click.version_option(lamina.__version__, message="lamina %(version)s")
def group() -> None:
    """Build and stream layered container images from Nix store paths.

    Needs no Nix, no Docker and no root to do so. stdout carries the result and nothing else.
    """
