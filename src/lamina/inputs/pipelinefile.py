"""The pipeline file: a layering pipeline in JSON, as dockerTools' ``layeringPipeline`` may name one.

Invariant: what a file holds is no less checked than what is given by hand, and its errors name the file.
"""

from __future__ import annotations

import os
from functools import partial

from lamina.core.names import STORE_DIR, StorePath
from lamina.errors import Error
from lamina.formats.json_toml import parse_json
from lamina.layering import STRATEGIES, Pipeline
from lamina.system.documents import read_document
from lamina.system.store_links import resolve_store_link

_EXPECTED = "a layering pipeline in JSON"


def looks_like_file(text: str, folder: str | os.PathLike[str] = "") -> bool:
    """Whether ``text`` is meant as a file: it has a slash, ends in ``.json``, or ``folder`` has a file of that name."""
    return "/" in text or text.endswith(".json") or os.path.isfile(os.path.join(folder, text))


def load(file: str) -> Pipeline:
    """The pipeline in ``file``.

    Raises `StoreError`, `FormatError` for what is no JSON or too long, `InvalidArgument` for JSON that is no pipeline.
    """
    subject = f"layering {file}"
    data = read_document(file, subject, _EXPECTED, hint=f"what needs no file is {' or '.join(STRATEGIES)}")
    pipeline = Pipeline.parse(parse_json(data, subject, _EXPECTED), subject)
    return resolve_links(pipeline, os.path.dirname(file))


def resolve_links(pipeline: Pipeline, folder: str | os.PathLike[str] = "") -> Pipeline:
    """Return ``pipeline`` with the store paths that its paths mean.

    A path inside a store path means that store path, and a link such as ``./result`` the one that it leads to. A link
    is looked for in ``folder``. Other texts stay as they are.
    """
    return pipeline.with_paths(partial(_store_path, os.fspath(folder)))


def _store_path(folder: str, text: str) -> str:
    if "/" not in text:
        return text
    is_link = not text.startswith(f"{STORE_DIR}/")
    try:
        path, _ = StorePath.split(resolve_store_link(os.path.join(folder, text)) if is_link else text)
    except (Error, ValueError):  # the plan says that it has no such path
        return text
    return str(path)
