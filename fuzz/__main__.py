"""Run a fuzz target from its seeds, as script/fuzz does: ``python -m fuzz TARGET FOLDER [FLAG]...``.

TARGET is a module of this folder. FOLDER receives the corpus and the inputs that fail. Flags are those of libFuzzer.
The exit code is not 0 if an input fails.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import atheris


def main() -> None:
    """Run the target until libFuzzer ends the process."""
    name, folder, *flags = sys.argv[1:]
    corpus, dictionary = Path(folder) / "corpus", Path(folder) / "dictionary"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["lamina"], enable_loader_override=False):
        target = import_module(f"fuzz.{name}")
    seeds = import_module("fuzz.seeds")
    for number, seed in enumerate(seeds.iter_seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    dictionary.write_text(seeds.make_dictionary(name))
    limits = ["-max_len=65536", "-timeout=10", "-rss_limit_mb=1024"]
    paths = [f"-dict={dictionary}", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *limits, *flags, *paths], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
