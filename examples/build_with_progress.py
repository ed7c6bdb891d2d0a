"""Build an image file, and print the progress of each layer in a way of one's own.

Usage: build_with_progress.py ROOT FILE [--store WHERE] [--trusted-key NAME:BASE64]
"""

import argparse
import sys

import lamina


class Counter(lamina.Progress):
    """Prints a line for each layer, with how much of it has been written."""

    def __init__(self) -> None:
        self._layers = 0
        self._written: dict[lamina.ProgressItem, int] = {}

    def begin(self, work: lamina.Work) -> None:
        """Remember how many layers there are."""
        self._layers = len(work.items)

    def advance(self, item: lamina.ProgressItem, size: int) -> None:
        """Print how much of the layer has been written; several layers may be written at once."""
        self._written[item] = self._written.get(item, 0) + size
        text = f"layer {item.number} of {self._layers}: {self._written[item] / item.size:.0%}"
        print(text, end="\r", file=sys.stderr, flush=True)

    def finish(self, item: lamina.ProgressItem, outcome: str, size: int) -> None:
        """End the line of the layer."""
        text = f"layer {item.number} of {self._layers}: {item.name}, {lamina.format_size(size)}, {outcome}"
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Build the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", metavar="ROOT")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--store", action="append", default=[])
    parser.add_argument("--trusted-key", action="append", default=[])
    options = parser.parse_args()
    image = lamina.build_layered_image(
        contents=options.root,
        store=options.store,
        trusted_keys=options.trusted_key,
        output=options.file,
        progress=Counter(),
    )
    print(f"{image.repo_tag} is complete: {lamina.format_size(image.bytes_written)}", file=sys.stderr)
    print(image.id)


if __name__ == "__main__":
    main()
