"""The requests in the log of a docker-registry: blobs that were uploaded, and blobs that were mounted.

The log is an independent count of what a batch says about itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

# Combined log format; the address of a request has no spaces.
_REQUEST = re.compile(r'"(POST|PUT|PATCH|GET|HEAD) (\S+) HTTP/1\.1" (\d{3}) ')
_CREATED = 201


@dataclass(frozen=True, slots=True)
class RegistryRequests:
    """The requests of a log.

    Attributes:
        uploads: how often each blob was uploaded, by its digest, in whichever repository.
        mounts: how many blobs were mounted from another repository.
        count: the number of all requests.
    """

    uploads: Mapping[str, int]
    mounts: int
    count: int

    @classmethod
    def read(cls, log: Path) -> RegistryRequests:
        """Count the requests in the log of a docker-registry."""
        uploads: Counter[str] = Counter()
        mounts = count = 0
        with log.open(errors="replace") as lines:
            for method, address, status in (found.groups() for line in lines if (found := _REQUEST.search(line))):
                count += 1
                if int(status) == _CREATED and "/blobs/uploads/" in address:
                    query = parse_qs(urlsplit(address).query)
                    mounts += method == "POST" and "mount" in query
                    uploads.update(query.get("digest", []) if method == "PUT" else [])
        return cls(uploads, mounts, count)

    @property
    def repeated(self) -> tuple[str, ...]:
        """The blobs that were uploaded more than once."""
        return tuple(sorted(digest for digest, times in self.uploads.items() if times > 1))


def find_blobs(folder: Path) -> Mapping[str, int]:
    """Return the size in bytes of each blob in the folder of a docker-registry, by its digest."""
    blobs = folder / "data/docker/registry/v2/blobs/sha256"
    return {f"sha256:{file.parent.name}": file.stat().st_size for file in blobs.glob("*/*/data")}
