"""Write an image whose layers you decide yourself: each large store path alone, all small ones together.

Usage: own_layering.py FILE ROOT... [--store WHERE] [--trusted-key NAME:BASE64]
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import lamina

LARGE = 1 << 20  # bytes


def plan_by_size(closure: lamina.Closure, limit: int = LARGE) -> Iterator[lamina.LayerPlan]:
    """Yield a layer with all store paths of at most ``limit`` bytes, then a layer for each larger one."""
    small = [info for info in closure.bottom_up if info.nar_size <= limit]
    if small:
        yield lamina.LayerPlan.of(small, "small paths")
    for info in closure.bottom_up:
        if info.nar_size > limit:
            yield lamina.LayerPlan.of([info], "a large path")


def main() -> None:
    """Write the image, and print its layers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("roots", nargs="+", metavar="ROOT")
    parser.add_argument("--store", action="append", default=[])
    parser.add_argument("--trusted-key", action="append", default=[])
    options = parser.parse_args()
    with (
        lamina.stream_layered_image(
            contents=options.roots, store=options.store, trusted_keys=options.trusted_key
        ) as stream,
        lamina.open_output(options.file) as out,
    ):
        paths = [path for plan in stream.draft.plans for path in plan.paths]
        closure = lamina.Closure.resolve(paths, stream.draft.store.query)
        draft = replace(stream.draft, plans=tuple(plan_by_size(closure)))
        image = lamina.DockerArchive(out).write(draft)
    print(image.repo_tag, image.id)
    for number, layer in enumerate(image.layers, 1):
        print(f"{number:3}  {layer.size:12,} bytes  {', '.join(path.name for path in layer.paths) or 'the root'}")


if __name__ == "__main__":
    main()
