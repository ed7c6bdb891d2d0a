"""Stream an image into a container engine, without writing it to disk.

Usage: stream_into_docker.py ROOT [--engine "docker load"] [--store WHERE] [--trusted-key NAME:BASE64]
"""

import argparse
import shlex
import subprocess
import sys

import lamina


def load(stream: lamina.Stream, command: list[str]) -> lamina.Image:
    """Stream an image into the standard input of ``command``; raise `CalledProcessError` if the command fails."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as engine:
        assert engine.stdin
        image = stream.write_to(engine.stdin)
    if engine.returncode:
        raise subprocess.CalledProcessError(engine.returncode, command)
    return image


def main() -> None:
    """Stream the image, and print its name and ID."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", metavar="ROOT")
    parser.add_argument("--engine", default="docker load")
    parser.add_argument("--store", action="append", default=[])
    parser.add_argument("--trusted-key", action="append", default=[])
    options = parser.parse_args()
    with lamina.stream_layered_image(
        contents=options.root, tag="latest", store=options.store, trusted_keys=options.trusted_key
    ) as stream:
        image = load(stream, shlex.split(options.engine))
        for warning in stream.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    print(image.repo_tag, image.id)


if __name__ == "__main__":
    main()
