"""The pipeline file: a layering pipeline in JSON, as dockerTools' ``layeringPipeline`` may name one.

Invariant: what a file holds is no less checked than what is given by hand, and its errors name the file.
"""

from __future__ import annotations

import json
import os
from functools import partial

from lamina.errors import Error, FormatError, NotFound
from lamina.layering import STRATEGIES, Pipeline
from lamina.names import STORE_DIR, StorePath
from lamina.store_links import led_into_store

# A pipeline that names every path of a closure of ten thousand takes one.
_MOST_BYTES = 16 << 20


def names_file(text: str, folder: str | os.PathLike[str] = "") -> bool:
    """Whether ``text`` is meant as a file: it has a slash, ends in ``.json``, or ``folder`` has a file of that name."""
    return "/" in text or text.endswith(".json") or os.path.isfile(os.path.join(folder, text))


def load(file: str) -> Pipeline:
    """The pipeline in ``file``.

    Raises `NotFound`, `FormatError` for what is no JSON or too long, `InvalidName` for JSON that is no pipeline.
    """
    subject = f"layering {file}"
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise NotFound(
            f"{subject}: got {error.strerror}, expected a layering pipeline in JSON",
            hint=f"what needs no file is {' or '.join(STRATEGIES)}",
        ) from error
    if len(data) > _MOST_BYTES:
        raise FormatError(f"{subject}: got more than {_MOST_BYTES} bytes, expected a layering pipeline in JSON")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{subject}: got {error}, expected a layering pipeline in JSON") from error
    return linked(Pipeline.parse(value, subject), os.path.dirname(file))


def linked(pipeline: Pipeline, folder: str | os.PathLike[str] = "") -> Pipeline:
    """Return ``pipeline`` with the store paths that links such as ``./result`` lead to; others stay as they are.

    A link is looked for in ``folder``.
    """
    return pipeline.with_paths(partial(_store_path, os.fspath(folder)))


def _store_path(folder: str, text: str) -> str:
    if "/" not in text or text.startswith(f"{STORE_DIR}/"):
        return text
    try:
        path, _ = StorePath.split(led_into_store(os.path.join(folder, text)))
    except (Error, ValueError):  # the plan says that it has no such path
        return text
    return str(path)
