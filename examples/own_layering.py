"""Write an image whose layers you decide yourself: each large store path alone, all small ones together.

Usage: own_layering.py FILE ROOT... [--store WHERE] [--trusted-key NAME:BASE64]
"""

import argparse
from collections.abc import Iterator

import lamina

LARGE = 1 << 20  # bytes


def plan_by_size(closure: lamina.Closure, max_layers: int) -> Iterator[lamina.LayerPlan]:
    """Yield a layer with all small store paths, then a layer for each large one, ``max_layers`` at most."""
    by_size = sorted(closure, key=lambda info: info.nar_size)
    large = [info for info in by_size if info.nar_size > LARGE][1 - max_layers :] if max_layers > 1 else []
    small = by_size[: len(by_size) - len(large)]
    if small:
        yield lamina.LayerPlan.of(small, "small paths")
    for info in large:
        yield lamina.LayerPlan.of([info], "a large path")


def main() -> None:
    """Write the image, and print its layers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("roots", nargs="+", metavar="ROOT")
    parser.add_argument("--store", action="append", default=[])
    parser.add_argument("--trusted-key", action="append", default=[])
    options = parser.parse_args()
    image = lamina.build_layered_image(
        contents=options.roots,
        store=options.store,
        trusted_keys=options.trusted_key,
        layering=plan_by_size,
        output=options.file,
    )
    print(image.repo_tag, image.id)
    for number, layer in enumerate(image.layers, 1):
        print(f"{number:3}  {layer.size:12,} bytes  {', '.join(path.name for path in layer.paths) or 'the root'}")


if __name__ == "__main__":
    main()
