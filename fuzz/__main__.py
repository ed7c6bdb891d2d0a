"""``python -m fuzz TARGET FOLDER [FLAG]...``: runs a target of this folder from its seeds, as script/fuzz does.

FOLDER is for the corpus and for what was found; flags are libFuzzer's. Ends with another code than 0 for a finding.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import atheris


def main() -> None:
    """Runs until libFuzzer ends the process."""
    name, folder, *flags = sys.argv[1:]
    corpus, words = Path(folder) / "corpus", Path(folder) / "words"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["lamina"], enable_loader_override=False):
        target = import_module(f"fuzz.{name}")
    seeds = import_module("fuzz.seeds")
    for number, seed in enumerate(seeds.seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    words.write_text(seeds.words(name))
    bounds = ["-max_len=65536", "-timeout=10", "-rss_limit_mb=1024"]
    places = [f"-dict={words}", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *bounds, *flags, *places], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
