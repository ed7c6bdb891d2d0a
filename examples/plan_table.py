"""Print which store path would go to which layer, as a table. Nothing is built, and no store path is opened.

Usage: plan_table.py ROOT... [--max-layers N] [--store WHERE] [--trusted-key NAME:BASE64]
"""

import argparse

import lamina


def format_row(number: int, layer: lamina.LayerPlan) -> str:
    """Return a line about a layer: its number, the size of its store paths, and their names, largest first."""
    sizes = dict(zip(layer.paths, layer.nars, strict=True))
    largest, *others = sorted(layer.paths, key=lambda path: sizes[path][1], reverse=True)
    names = f"{largest.name} +{len(others)}" if others else largest.name
    return f"{number:5}  {lamina.format_size(layer.nar_size):>12}  {names}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", nargs="+", metavar="ROOT")
    parser.add_argument("--max-layers", type=int, default=100)
    parser.add_argument("--store", action="append", default=[])
    parser.add_argument("--trusted-key", action="append", default=[])
    options = parser.parse_args()
    planned = lamina.plan_layered_image(
        contents=options.roots,
        max_layers=options.max_layers,
        store=options.store,
        trusted_keys=options.trusted_key,
    )
    print("layer          size  store paths")
    for number, layer in enumerate(planned.layers, 1):
        print(format_row(number, layer))
    print(f"total  {lamina.format_size(sum(layer.nar_size for layer in planned.layers)):>12}")


if __name__ == "__main__":
    main()
