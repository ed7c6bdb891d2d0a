"""The highest values that the rows of the table may have, by kind of workload.

Rows without a target are for orientation.
"""

from __future__ import annotations

from collections.abc import Mapping

CLOSURE, SMALL, LARGE, START = "closure", "small", "large", "start"
HUGE_IMAGE, HUGE_LAYER = "huge image", "huge layer"

# Ratios; for peaks of memory, megabytes.
TARGETS: Mapping[str, Mapping[str, float]] = {
    "cold stream ÷ tar | cat": {CLOSURE: 1.2, SMALL: 1.6},
    "cold stream ÷ two passes": {CLOSURE: 0.13},
    "warm stream ÷ tar | cat": {CLOSURE: 0.9},
    "repeat build ÷ cold build": {CLOSURE: 0.08},
    "gzip stage ÷ pigz -nTR": {CLOSURE: 0.10},
    "gzip stage ÷ pigz -nTR, size": {CLOSURE: 1.13},
    "build .tar.gz ÷ tar | pigz -nTR": {CLOSURE: 0.15},
    "zstd stage ÷ zstd -T0": {CLOSURE: 1.1},
    "zstd stage ÷ zstd -T0, size": {CLOSURE: 1.05},
    "build .tar.zst ÷ tar | zstd -T0": {CLOSURE: 1.25},
    "fetch from a cache ÷ zstd -dc of all its NARs, two at a time": {CLOSURE: 1.3},
    "cold stream from a cache ÷ zstd -dc of all its NARs, two at a time": {CLOSURE: 1.3},
    "first push ÷ skopeo copy": {CLOSURE: 0.35},
    "peak memory, first push": {CLOSURE: 200},
    "first load ÷ stream | load": {CLOSURE: 1.3},
    "repeated load ÷ stream | load": {CLOSURE: 0.15},
    "peak memory, cold stream": {CLOSURE: 150, HUGE_IMAGE: 160, HUGE_LAYER: 250},
    "peak memory, build DIR/": {CLOSURE: 150},
    "peak memory, build .tar.gz": {CLOSURE: 150},
    "peak memory, build .tar.zst": {CLOSURE: 150},
    "lamina --version ÷ python -c pass": {START: 2.0},
    "lamina stream --help ÷ python -c pass": {START: 8},
}
