"""The pipeline file: a layering pipeline in JSON, as dockerTools' ``layeringPipeline`` may name one.

Invariant: what a file holds is no less checked than what is given by hand, and its errors name the file.
"""

from __future__ import annotations

import json
import os

from lamina.errors import FormatError, NotFound
from lamina.layering import STRATEGIES, Pipeline

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
    return Pipeline.parse(value, subject)
