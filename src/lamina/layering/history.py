"""Learn from earlier images how often each package changes.

Two images of one name that follow each other are one update. Its packages are compared by their names without version
and hash. A package changed *by itself* if its version changed, or if its hash changed although nothing in its closure
did. An old image does not say what its paths refer to, so the closure is that of the image that is planned now.

The number of times that a path changes by itself is taken to follow a Poisson distribution. Its rate has an exponential
prior whose mean is the path's default rate, because of all distributions of a positive value with a known mean this one
has the greatest entropy (Jaynes, "Probability Theory", chapter 11). The mean of the posterior, after ``c`` changes in
``n`` updates, is ``(c + 1) / (n + 1 / default)`` (Gelman et al., "Bayesian Data Analysis", section 2.6). So a path
counts as if it had changed once more, in as many more updates as its default rate needs for one change. Without a
history the result is the default rate; after many updates it is close to the observed one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.package_names import PackageName
from lamina.layering.reach import Reachability
from lamina.layering.updates import PATHS_PER_UPDATE, ROOT_UPDATES, UpdateStatistics

# Five updates, of which three change only a root, are as many whole updates as the defaults need.
_DEFAULT_UPDATES = 5
_DEFAULT_ROOT_UPDATES = _DEFAULT_UPDATES * ROOT_UPDATES // 100
_DEFAULT_OTHERS = _DEFAULT_UPDATES - _DEFAULT_ROOT_UPDATES
_OLDEST = datetime.min.replace(tzinfo=UTC)

Package = tuple[str, str]
"""The name of a package and the output, without version and hash."""
PathSets = tuple[frozenset[StorePath], ...]
"""The store paths of each image of one name, the oldest image first."""


@dataclass(frozen=True, slots=True)
class PastImage:
    """An earlier image, as far as updates can be learnt from it.

    Attributes:
        name: the name without registry and tag; only images of one name are compared.
        platform: the platform, ``OS/ARCHITECTURE``.
        created: when it was created; None if it does not say.
        paths: its store paths.
    """

    name: str
    platform: str
    created: datetime | None
    paths: frozenset[StorePath]


def arrange(images: Iterable[PastImage]) -> tuple[PathSets, ...]:
    """Return the store paths of images of one name each, in the order in which the images were created.

    Args:
        images: the images; those created at the same time keep their order. Of several platforms, only the images for
            the most frequent one count, because all platforms are updated together.
    """
    listed = [image for image in images if image.paths]
    platforms = Counter(image.platform for image in listed)
    platform = max(platforms, key=platforms.__getitem__, default="")
    by_name: dict[str, list[frozenset[StorePath]]] = {}
    for image in sorted(listed, key=lambda image: image.created or _OLDEST):
        if image.platform == platform:
            by_name.setdefault(image.name, []).append(image.paths)
    return tuple(map(tuple, by_name.values()))


@dataclass(frozen=True, slots=True)
class ObservedUpdates:
    """Changes by earlier updates, as far as a closure has the packages.

    Attributes:
        root_updates: the number of updates that changed only roots of the closure.
        others: the number of other updates that changed something.
        changes: how many packages the other updates changed by themselves, all together.
        changed: in how many of the other updates each package changed by itself.
        seen: in how many of the other updates each package was in both images.
    """

    root_updates: int
    others: int
    changes: int
    changed: Mapping[Package, int]
    seen: Mapping[Package, int]

    @classmethod
    def of(cls, closure: Closure, history: Iterable[PathSets]) -> ObservedUpdates:
        """Compare each image of ``history`` with the next one of its name, and the last one with ``closure``."""
        packages = _Packages(closure)
        current = frozenset(info.path for info in closure)
        root_updates = others = 0
        changed: Counter[Package] = Counter()
        seen: Counter[Package] = Counter()
        for images in history:
            for before, after in pairwise(map(packages.find, (*images, current))):
                update = packages.compare(before, after)
                if update.changed <= packages.roots:
                    root_updates += bool(update.changed)
                else:
                    others += 1
                    changed.update(update.own)
                    seen.update(before.keys() & after.keys())
        return cls(root_updates, others, sum(changed.values()), changed, seen)

    @property
    def statistics(self) -> UpdateStatistics:
        """The shares of updates, as if `_DEFAULT_UPDATES` updates of the default kind had been observed as well."""
        updates = self.root_updates + self.others + _DEFAULT_UPDATES
        others = self.others + _DEFAULT_OTHERS
        return UpdateStatistics(
            Fraction(self.root_updates + _DEFAULT_ROOT_UPDATES, updates),
            max(Fraction(1), Fraction(self.changes + _DEFAULT_OTHERS * PATHS_PER_UPDATE, others)),
        )

    def estimate(self, path: StorePath, default: Fraction) -> Fraction:
        """Return how many changes ``path`` makes by itself in one of the other updates, on average.

        Args:
            path: a path of the closure.
            default: the same number for a path of its kind of which nothing is known.
        """
        package = _find_package(path)
        return (self.changed.get(package, 0) + 1) / (self.seen.get(package, 0) + 1 / default)


@dataclass(frozen=True, slots=True)
class _Update:
    """The packages that differ between two images, and those of them that changed by themselves."""

    changed: frozenset[Package]
    own: frozenset[Package]


class _Packages:
    """The packages of a closure, each with the numbers of its paths."""

    def __init__(self, closure: Closure) -> None:
        self._numbers: dict[Package, list[int]] = {}
        for number, info in enumerate(closure):
            self._numbers.setdefault(_find_package(info.path), []).append(number)
        self._dependencies = Reachability.of(closure).dependencies
        self.roots = frozenset(
            package
            for package, numbers in self._numbers.items()
            if any(not closure.referrers[number] for number in numbers)
        )

    def find(self, paths: Collection[StorePath]) -> Mapping[Package, frozenset[StorePath]]:
        """Return the paths of each package that the closure has too."""
        found: dict[Package, set[StorePath]] = {}
        for path in paths:
            package = _find_package(path)
            if package in self._numbers:
                found.setdefault(package, set()).add(path)
        return {package: frozenset(each) for package, each in found.items()}

    def compare(
        self, before: Mapping[Package, frozenset[StorePath]], after: Mapping[Package, frozenset[StorePath]]
    ) -> _Update:
        """Compare the packages of two images; one that is in only one of them did not change."""
        changed = frozenset(package for package in before.keys() & after.keys() if before[package] != after[package])
        mask = self._make_mask(changed)
        own = (
            package
            for package in changed
            if _list_names(before[package]) != _list_names(after[package]) or self._is_lowest(package, mask)
        )
        return _Update(changed, frozenset(own))

    def _is_lowest(self, package: Package, changed: int) -> bool:
        """Return whether a path of the package needs nothing that changed, except the package itself."""
        others = changed & ~self._make_mask([package])
        return any(not self._dependencies[number] & others for number in self._numbers[package])

    def _make_mask(self, packages: Iterable[Package]) -> int:
        return sum(1 << number for package in packages for number in self._numbers[package])


# The images of a history have most of their paths in common.
@lru_cache(maxsize=1 << 16)
def _find_package(path: StorePath) -> Package:
    parsed = PackageName.parse(path)
    return parsed.name, parsed.output


def _list_names(paths: Iterable[StorePath]) -> frozenset[str]:
    return frozenset(path.name for path in paths)
