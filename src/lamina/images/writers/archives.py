"""The formats of an image file, and the writer of each."""

from __future__ import annotations

from lamina.compression.compressors import LayerCompression
from lamina.core.progress import Progress
from lamina.images.image import ImageWriter
from lamina.images.writers.docker_archive import DockerArchive
from lamina.layers.context import BuildContext
from lamina.system.fd_writer import Output

FORMATS = ("docker", "oci", "hybrid")
DEFAULT_FORMAT = "docker"
LAYOUT_FORMAT = "oci"
"""The format of a folder."""
OCI_HINT = "--format oci writes an OCI archive, and -o DIR/ an OCI layout"
"""The hint for what a docker-archive has no room for."""
INDEX_FORMAT = "oci"
"""The format of a file that can hold images for several platforms."""


def create_archive_writer(
    name: str, out: Output, progress: Progress | None, context: BuildContext, compression: LayerCompression
) -> ImageWriter:
    """Return the writer of the format ``name``, one of `FORMATS`, that writes to ``out``."""
    if name == "docker":
        return DockerArchive(out, progress, context, compression)
    from lamina.images.writers.oci_archive import OciArchive

    return OciArchive(out, progress, context, compression, hybrid=name == "hybrid")
