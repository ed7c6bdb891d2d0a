"""The rate of a path: how often it changes by itself, compared with others, as far as its name tells.

Only proportions matter. The values follow the uploads of 837 packages to Debian from 2019 to 2023: modules of an
interpreter had a third as many as other packages, and fonts, icons and time zones had 0.4 times as many, while
libraries, tools and headers did not differ. A name without a version is usually that of a file that was written for the
image, such as its configuration, unless most names of the closure have no version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lamina.core.closure import Closure
from lamina.core.names import split_version

ORDINARY = 2
STABLE = 1
WRITTEN_FOR_THE_IMAGE = 4

# Modules are named after their interpreter: python3.12-requests-2.32, perl5.38.2-URI-5.21. The interpreters themselves
# have their version in this place.
_MODULE = re.compile(r"(python|perl|ruby|lua|luajit|php|node|ocaml|ghc|r|emacs)[0-9.]*-[a-zA-Z]")
_DATA = re.compile(r"(.*[-_])?(fonts?|icons?|icon-theme|tzdata|iso-codes|mailcap|shared-mime-info|hyphen)([-_].*)?")


def estimate_rates(closure: Closure) -> Sequence[int]:
    """Return the rate of each path number of ``closure``, from `STABLE` to `WRITTEN_FOR_THE_IMAGE`."""
    names = [info.path.name for info in closure]
    versioned = [bool(split_version(name)[1]) for name in names]
    are_usual = 2 * sum(versioned) > len(names)
    return [
        WRITTEN_FOR_THE_IMAGE if are_usual and not has_version else _rate_by_kind(name)
        for name, has_version in zip(names, versioned, strict=True)
    ]


def _rate_by_kind(name: str) -> int:
    return STABLE if _MODULE.match(name) or _DATA.fullmatch(name) else ORDINARY
