"""Make the closures in bench/closures from the package lists of Debian.

    python -m bench.reuse.make_closures             from the lists that apt has downloaded, for Debian 12
    python -m bench.reuse.make_closures --large DIR closures of about 1,000, 3,000 and 10,000 paths, to DIR
    python -m bench.reuse.make_closures --nix ROOT  from the closure of ROOT in this machine's store, as nix prints it

A package is a store path: its installed size is the size, and its dependencies are the references. The first
alternative of a dependency that exists is taken, or the first package that provides it. Recommended packages are left
out. A closure of Nix has no cycles, so packages that depend on each other in a cycle become one path, which has the
name of the largest and the size of all. On top is an application of 3 MB that needs the packages of `ROOTS`.
"""

from __future__ import annotations

import argparse
import glob
import json
import random
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.reuse.closures import FOLDER, Row, dump

# The packages that the application of each closure needs.
ROOTS: Mapping[str, Sequence[str]] = {
    "web-server": ["nginx-extras"],
    "database": ["postgresql-plpython3-15"],
    "java-application": ["tomcat10"],
    "automation": ["ansible", "git"],
    "notebook": ["jupyter", "python3-pandas", "python3-matplotlib", "python3-sklearn"],
    "statistics": ["r-cran-tidyverse"],
    "typesetting": ["texlive-latex-extra"],
    "editor": ["kate"],
    "office": ["libreoffice-writer"],
    "3d": ["blender"],
    "gis": ["qgis"],
    "robots": ["ros-desktop-full"],
    "radio": ["gnuradio"],
}
_DESKTOPS = ["ros-desktop-full", "sagemath", "kde-full", "texlive-full", "gnuradio", "qgis", "blender", "gnome"]
LARGE: Mapping[str, Sequence[str]] = {
    "large-1000": ["sagemath-jupyter", "gnuradio"],
    "large-3000": _DESKTOPS,
}
# The largest closure also has this many modules, chosen at random.
_MODULES = 4500
_APPLICATION = "application"
_APPLICATION_SIZE = 3_000_000
_HELPER = "/usr/lib/apt/apt-helper"
_LISTS = "/var/lib/apt/lists/*_debian_dists_bookworm_main_binary-amd64_Packages*"
Package = Mapping[str, str]
"""The fields of a package; they are texts."""
_FIELDS = ("Package", "Version", "Installed-Size", "Depends", "Pre-Depends", "Provides")


def main() -> None:
    """Write the closures that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nix", metavar="ROOT", help="write the closure of ROOT to build-tools.json")
    parser.add_argument("--large", metavar="DIR", type=Path, help="write the large closures to DIR")
    arguments = parser.parse_args()
    if arguments.nix:
        made = "nix path-info --json -r: one store path for each Debian package of a set of build tools"
        _write(FOLDER / "build-tools.json", made, _read_nix(arguments.nix))
        return
    packages = _read_packages()
    folder, chosen = (arguments.large, _choose_large(packages)) if arguments.large else (FOLDER, ROOTS)
    for name, roots in chosen.items():
        graph = {**_resolve(packages, roots), _APPLICATION: roots}
        what = " ".join(roots) if len(roots) < 10 else f"{len(roots)} packages"
        made = f"an application that needs {what} of Debian 12, main, amd64, and their dependencies"
        _write(folder / f"{name}.json", made, _collapse(packages, graph))


def _write(file: Path, made: str, rows: Sequence[Row]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump(made, rows))
    print(f"{file.stem}: {len(rows)} paths, {sum(row.size for row in rows) / 1e6:.0f} MB")


def _choose_large(packages: Mapping[str, Package]) -> Mapping[str, Sequence[str]]:
    names = sorted(name for name, package in packages.items() if package["Package"] == name)
    modules = [name for name in names if name.startswith(("python3-", "node-", "ruby-"))]
    return {**LARGE, "large-10000": [*_DESKTOPS, *random.Random(3).sample(modules, _MODULES)]}


def _read_packages() -> Mapping[str, Package]:
    """Return the fields of every package; packages that are only provided are listed under the provided name too."""
    (lists,) = glob.glob(_LISTS)
    text = subprocess.run([_HELPER, "cat-file", lists], check=True, capture_output=True, text=True).stdout
    packages: dict[str, Package] = {}
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", paragraph, re.MULTILINE))
        if "Package" in fields:
            packages[fields["Package"]] = {field: fields.get(field, "") for field in _FIELDS}
    provided: dict[str, Package] = {}
    for package in packages.values():
        for name in _names(package["Provides"]):
            provided.setdefault(name, package)
    return provided | packages


def _names(field: str) -> Iterator[str]:
    for item in filter(None, re.split(r"[,|]\s*", field)):
        yield re.split(r"[\s:(]", item.strip())[0]


def _dependencies(packages: Mapping[str, Package], name: str) -> Iterator[str]:
    fields = packages[name]
    for item in filter(None, f"{fields['Pre-Depends']}, {fields['Depends']}".split(", ")):
        for alternative in _names(item):
            if alternative in packages:
                yield packages[alternative]["Package"]
                break


def _resolve(packages: Mapping[str, Package], roots: Sequence[str]) -> Mapping[str, Sequence[str]]:
    references: dict[str, Sequence[str]] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in references:
            references[name] = sorted(set(_dependencies(packages, name)) - {name})
            waiting += references[name]
    return references


def _collapse(packages: Mapping[str, Package], references: Mapping[str, Sequence[str]]) -> list[Row]:
    """Make one row for each strongly connected component, dependencies first."""
    components = _components(references, _APPLICATION)
    number = {name: index for index, members in enumerate(components) for name in members}
    rows = []
    for index, members in enumerate(components):
        if members == [_APPLICATION]:
            name, size = f"{_APPLICATION}-1.0", _APPLICATION_SIZE
        else:
            largest = min(members, key=lambda member: (-_size(packages[member]), member))
            name = f"{largest}-{_upstream_version(packages[largest]['Version'])}"
            size = sum(_size(packages[member]) for member in members)
        needed = {number[target] for member in members for target in references[member]} - {index}
        rows.append(Row(name, size, tuple(sorted(needed))))
    return rows


def _upstream_version(version: str) -> str:
    upstream = version.partition(":")[2] or version
    return (upstream.rpartition("-")[0] or upstream).replace("~", "-")


def _size(package: Package) -> int:
    return int(package["Installed-Size"] or 0) * 1024


def _components(references: Mapping[str, Sequence[str]], root: str) -> list[list[str]]:
    """Return the strongly connected components below ``root``, in topological order (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    done: set[str] = set()
    calls: list[tuple[str, Iterator[str]]] = []

    def enter(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        calls.append((name, iter(references[name])))

    enter(root)
    while calls:
        name, targets = calls[-1]
        for target in targets:
            if target not in index:
                enter(target)
                break
            if target not in done:
                low[name] = min(low[name], index[target])
        else:
            calls.pop()
            if calls:
                low[calls[-1][0]] = min(low[calls[-1][0]], low[name])
            if low[name] == index[name]:
                cut = stack.index(name)
                found.append(sorted(stack[cut:]))
                done.update(stack[cut:])
                del stack[cut:]
    return found


def _read_nix(root: str) -> list[Row]:
    command = ["nix", "--extra-experimental-features", "nix-command", "path-info", "--json", "-r", root]
    infos = {info["path"]: info for info in json.loads(subprocess.run(command, check=True, capture_output=True).stdout)}
    references = {path: sorted(set(info["references"]) - {path}) for path, info in infos.items()}
    order = [path for members in _components(references, root) for path in members]
    number = {path: index for index, path in enumerate(order)}
    return [
        Row(Path(path).name[33:], infos[path]["narSize"], tuple(sorted(number[target] for target in references[path])))
        for path in order
    ]


if __name__ == "__main__":
    main()
