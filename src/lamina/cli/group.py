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

# click completes, instead of running a verb, while a shell sets this variable; the name follows from the program's.
COMPLETION_VARIABLE = "_LAMINA_COMPLETE"

# Verb → its line in ``lamina --help``. The module of the same name holds the verb as ``command``.
VERBS = {
    "stream": "Stream an image to stdout, for docker load or podman load.",
    "build": "Build an image and write it to a file or an OCI layout.",
    "script": "Write an executable script that streams an image.",
    "plan": "Show which store path goes to which layer; build nothing.",
    "push": "Push an image to a registry; send only what is missing there.",
    "load": "Load an image into docker, podman or containerd; send only missing layers.",
    "run": "Load an image into docker, podman or containerd, and start it there.",
    "batch": "Build the images of spec files together; make and send each layer once.",
    "serve": "Serve images as a registry that makes them when a client pulls.",
    "inspect": "Show what an image file, an OCI layout or a reference holds.",
    "diff": "Show what an update from one image to another changes and moves.",
    "verify": "Make the layers of an image again from signed store paths, and compare.",
    "pull": "Fetch an image from a registry into a file or an OCI layout.",
    "sbom": "Write the software bill of materials of store paths or of an image.",
    "lock": "Pin the base images of a spec file by their digests.",
    "merge": "Write several images into one archive.",
    "export": "Write the root file system of an image as a tar.",
    "layout": "Remove images and unused blobs from an OCI layout.",
    "store": "Fetch, add, list, sign and copy store paths without Nix.",
    "cache": "Show and delete what lamina keeps in your cache folder.",
    "help": "Show the help of lamina or of a verb.",
    "completion": "Print the script that completes lamina's command lines in your shell.",
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
    summaries=VERBS,
    examples=(
        "lamina stream hello -t hello:1 | docker load",
        "lamina build /nix/store/…-hello-2.12.1 -o hello.tar.gz",
        "lamina push hello --to ghcr.io/me/hello:1",
    ),
)
@click.version_option(lamina.__version__, "-V", "--version", message="lamina %(version)s")
def group() -> None:
    """Build and stream layered container images from Nix store paths, without Nix, Docker or root.

    Results go to stdout; progress, warnings and errors go to stderr. lamina help VERB shows the options of a verb.
    """
