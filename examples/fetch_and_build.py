"""Fetch a store path with all that it needs from a binary cache, then build an image of it without a network.

Usage: fetch_and_build.py ROOT FILE --cache URL [--trusted-key NAME:BASE64] [--embedded-store DIR]
"""

import argparse
import sys

import lamina


def main() -> None:
    """Fetch the closure, build the image, and print what was fetched and written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", metavar="ROOT")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--cache", required=True)
    parser.add_argument("--trusted-key", action="append", default=[])
    parser.add_argument("--embedded-store", default="store")
    options = parser.parse_args()
    try:
        fetched = lamina.fetch_paths(
            [options.root],
            embedded_store=options.embedded_store,
            store=options.cache,
            trusted_keys=options.trusted_key,
        )
        print(f"{len(fetched.new)} of {len(fetched.paths)} store paths fetched")
        image = lamina.build_layered_image(
            contents=options.root,
            store=options.embedded_store,
            trusted_keys=options.trusted_key,
            offline=True,
            output=options.file,
        )
    except lamina.Error as error:
        sys.exit(f"{error}\n{error.hint}".strip())
    print(f"{image.repo_tag}: {len(image.layers)} layers, {sum(layer.size for layer in image.layers)} bytes")


if __name__ == "__main__":
    main()
