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
        self._number = 0
        self._size = 0
        self._written = 0

    def begin(self, layers: int, base: int) -> None:
        """Remember how many layers there are."""
        self._layers = layers

    def layer(self, number: int, source: lamina.LayerSource, size: int) -> None:
        """Begin the line of the next layer."""
        self._number, self._size, self._written = number, size, 0

    def advance(self, size: int) -> None:
        """Print how much of the layer has been written."""
        self._written += size
        end = "\n" if self._written >= self._size else "\r"
        share = self._written / self._size
        print(f"layer {self._number} of {self._layers}: {share:4.0%}", end=end, file=sys.stderr, flush=True)

    def done(self, image: lamina.Image) -> None:
        """Print the name of the image."""
        print(f"{image.repo_tag} is complete", file=sys.stderr)


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
    print(image.id)


if __name__ == "__main__":
    main()
