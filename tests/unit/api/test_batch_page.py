"""The page of the result of a batch."""

from __future__ import annotations

import hashlib
import re

from lamina.api.batch_page import make_report
from lamina.core.names import Digest
from lamina.errors import NotFound
from lamina.fleet.results import FAILED, MADE, REUSED, BatchImage, BatchLayer, BatchResult


def digest(name: str) -> Digest:
    return Digest(hashlib.sha256(name.encode()).digest())


LAYERS = tuple(
    BatchLayer(digest(name), "gzip:2", names, 1000, 2, outcome, digest(name), 2000, digest(name), size, size)
    for name, names, outcome, size in (
        ("first", ("glibc-2.40", "libidn2-2.3"), MADE, 500),
        ("second", ("openssl-3.0",), REUSED, 300),
        ("third", ("broken-1",), FAILED, 0),
    )
)
FIRST, SECOND = ((layer.key, layer.compression) for layer in LAYERS[:2])
IMAGES = (
    BatchImage("web", None, (), "localhost:5000/web:1", digest("web"), frozenset((SECOND, FIRST)), 1, 20),
    BatchImage("broken", NotFound("broken-1", "no such path", "one")),
    BatchImage("api", None, (), "localhost:5000/api:1", digest("api"), frozenset((FIRST,)), 2, 30),
)


def test_images_layers_and_errors_of_a_batch_are_on_its_page() -> None:
    page = make_report("localhost:5000", BatchResult(IMAGES, LAYERS, 1.5, "2 worker processes")).decode()
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts["Images"] == "2 of 3"
    assert facts["Mounted"] == "3"
    assert facts["Sent"] == "550 B"
    assert facts["Workers"] == "2 worker processes"
    rows = [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", page)]
    assert ["glibc-2.40 +1", "2", "500 B", "500 B", "sent once"] in rows
    assert ["openssl-3.0", "1", "300 B", "300 B", "there already"] in rows
    assert ["broken", "broken-1: got no such path, expected one"] in rows
    assert [row[:5] for row in rows if row[0] == "web"] == [["web", "2", "820 B", "500 B", "520 B"]]
    assert f"{digest('api')}"[:19] in page
