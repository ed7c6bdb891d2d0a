"""Draw images for `lamina batch` from the store paths of a closure, and write them as one spec file.

Each image has one to six packages. Their popularity follows Zipf's law: the package of rank n is drawn with the weight
1 ÷ n, as few packages are in most images of an organisation and most packages in few. Every image has its own
customisation layer and config, so all images differ.

Invariant: the same closure, seed and number of images give the same bytes on every machine.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lamina
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.inputs.specfile import MAX_TOML_SIZE
from lamina.stores.open import open_stores

MAX_PACKAGES = 6


def read_packages(roots: Sequence[str], stores: Sequence[str]) -> list[str]:
    """Return the store paths in the closure of ``roots`` without the roots themselves, sorted.

    The root of a closure that is made for measuring only refers to all others. Raises whatever the stores raise.
    """
    wanted = [StorePath.parse(root) for root in roots]
    closure = Closure.resolve(wanted, open_stores(stores or ["/"]).query)
    packages = {info.path for info in closure}
    return sorted(map(str, packages - set(wanted) or packages))


def draw_images(packages: Sequence[str], count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the table of each image."""
    chance = random.Random(seed)
    # Only random() gives the same numbers in every version of Python.
    ranked = sorted(packages, key=lambda _: chance.random())
    width = len(str(count))
    for number in range(1, count + 1):
        name = f"service-{number:0{width}}"
        wanted = min(len(ranked), 1 + int(chance.random() * MAX_PACKAGES))
        chosen = _draw_packages(ranked, chance)
        yield (
            name,
            {
                "tag": "1",
                "contents": sorted(islice(chosen, wanted)),
                "tree": [{"dir": f"/srv/{name}:0755"}],
                "config": {"Env": [f"SERVICE={name}"], "WorkingDir": f"/srv/{name}"},
            },
        )


def _draw_packages(ranked: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Yield different packages, each drawn with the weight 1 ÷ rank from those that are left."""
    # The order of u^(1/w) is that of weighted draws without replacement (Efraimidis and Spirakis, 2006).
    keys = {package: chance.random() ** (rank + 1) for rank, package in enumerate(ranked)}
    yield from sorted(ranked, key=lambda package: -keys[package])


def dump_images(images: Mapping[str, Mapping[str, Any]], *, is_json: bool) -> str:
    """Return the text of a spec file, in JSON or TOML."""
    if is_json:
        return json.dumps(images, indent=1) + "\n"
    return "\n".join("\n".join(_dump_table(name, table)) for name, table in images.items())


def _dump_table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    for key, value in table.items():
        yield f"{key} = {_dump_value(value)}"
    yield ""


def _dump_value(value: Any) -> str:
    """Return a value in TOML, in which strings are written as in JSON."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_dump_value(each)}' for key, each in value.items())} }}"
    return f"[{', '.join(map(_dump_value, value))}]" if isinstance(value, list) else json.dumps(value)


def write_images(file: Path, packages: Sequence[str], count: int, seed: int) -> None:
    """Write a spec file of ``count`` images: JSON if its name ends in ``.json``, else TOML.

    Raises `ValueError` if lamina does not read as much TOML.
    """
    text = dump_images(dict(draw_images(packages, count, seed)), is_json=file.suffix == ".json")
    if file.suffix != ".json" and len(text) > MAX_TOML_SIZE:
        raise ValueError(f"{file}: got {len(text)} bytes of TOML, expected at most {MAX_TOML_SIZE}; write a .json file")
    file.write_text(text)


def main() -> None:
    """Write the spec file that the arguments describe."""
    arguments = _make_parser().parse_args()
    try:
        packages = read_packages(arguments.roots, arguments.store)
        write_images(arguments.output, packages, arguments.images, arguments.seed)
    except (lamina.Error, OSError, ValueError) as error:
        sys.exit(f"bench/batch_images: {error}")


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/batch_images",
        description="Write a spec file of many images, whose packages are drawn from the closure of ROOT. Each image "
        "has 1 to 6 packages; the n-th most popular package has the weight 1 ÷ n.",
    )
    parser.add_argument("roots", nargs="+", metavar="ROOT", help="store paths whose closure has the packages")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the spec file; JSON if it ends in .json, which is needed from about 3,000 images on, else TOML",
    )
    parser.add_argument("--images", type=int, default=200, metavar="N", help="number of images [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the images [%(default)s]")
    parser.add_argument(
        "--store", action="append", metavar="WHERE", help="where the closure is, as for lamina; repeat it [/]"
    )
    return parser


if __name__ == "__main__":
    main()
