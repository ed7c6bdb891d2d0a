"""The pipeline file: a layering pipeline in JSON, as dockerTools' ``layeringPipeline`` accepts it.

A pipeline from a file is checked like one from an argument, and its errors name the file.
"""

from __future__ import annotations

import os
from functools import partial

from lamina.core.names import STORE_DIR, StorePath
from lamina.errors import Error
from lamina.layering import STRATEGIES, Pipeline
from lamina.system.documents import read_json
from lamina.system.store_links import resolve_store_link

_EXPECTED = "a layering pipeline in JSON"


def looks_like_file(text: str, folder: str | os.PathLike[str] = "") -> bool:
    """Return whether ``text`` means a file: it has a slash, ends in ``.json``, or names a file in ``folder``."""
    return "/" in text or text.endswith(".json") or os.path.isfile(os.path.join(folder, text))


def load(file: str) -> Pipeline:
    """Read the pipeline in ``file``.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: the file is not JSON, or too long.
        InvalidArgument: the JSON is not a pipeline.

    """
    subject = f"layering {file}"
    document = read_json(file, subject, _EXPECTED, hint=f"{' and '.join(STRATEGIES)} need no file")
    pipeline = Pipeline.parse(document, subject)
    return resolve_links(pipeline, os.path.dirname(file))


def resolve_links(pipeline: Pipeline, folder: str | os.PathLike[str] = "") -> Pipeline:
    """Return ``pipeline`` with its paths replaced by store paths.

    A path inside a store path becomes that store path, and a link in ``folder``, such as ``./result``, the store path
    that it leads to. Other strings stay as they are.
    """
    return pipeline.with_paths(partial(_resolve_path, os.fspath(folder)))


def _resolve_path(folder: str, text: str) -> str:
    if "/" not in text:
        return text
    is_link = not text.startswith(f"{STORE_DIR}/")
    try:
        path, _ = StorePath.split(resolve_store_link(os.path.join(folder, text)) if is_link else text)
    except (Error, ValueError):  # planning reports that the closure lacks the path
        return text
    return str(path)
