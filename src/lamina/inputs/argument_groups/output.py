"""The arguments about writing an image: formats, compression, caches and processors."""

import os
from typing import Annotated, TypedDict

from lamina.inputs import parsers, relative_paths
from lamina.inputs.argument_groups.paths import StrPath
from lamina.inputs.declarations import Argument, Flag, switch


class OutputArguments(TypedDict, total=False):
    """Formats, compression, caches and processors."""

    compressor: Annotated[
        str | None,
        Argument(
            parsers.parse_compressor,
            None,
            "The compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says it.",
            section="output",
            phase="write",
        ),
        Flag(
            "Compress the file.  [default: as the extension of FILE says, else none]",
            "none|gz|zstd",
            value_type=("none", "gz", "zstd"),
        ),
    ]
    format: Annotated[
        str | None,
        Argument(
            parsers.parse_format,
            None,
            "The format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By "
            "default ``docker``; a folder is always ``oci``.",
            section="output",
            phase="archive",
        ),
        Flag(
            "Write a docker-archive, an OCI archive, or a hybrid that programs for either can read.  [default: docker; "
            "oci for a folder]",
            "docker|oci|hybrid",
            value_type=("docker", "oci", "hybrid"),
        ),
    ]
    layer_compression: Annotated[
        str | None,
        Argument(
            parsers.parse_layer_compression,
            None,
            "The compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By default "
            "``gzip`` in a registry, and ``none`` elsewhere.",
            section="layers",
            phase="write",
        ),
        Flag(
            "Compress each layer: none, gzip or zstd, with a level if you like: zstd:9.  [default: gzip in a registry, "
            "else none]",
            "WORD[:LEVEL]",
            completion=("none", "gzip", "zstd"),
        ),
    ]
    media_types: Annotated[
        str | None,
        Argument(
            parsers.parse_media_types,
            None,
            "The media types in a registry: ``oci``, or ``docker`` for registries and programs that know no others. By "
            "default ``oci``, which annotations and layers of zstd need.",
            section="registry",
            phase="write",
        ),
        Flag(
            "Push with these media types: oci, or docker for registries and programs that know no others. Docker's "
            "have neither annotations nor zstd.  [default: oci]",
            "oci|docker",
            value_type=("oci", "docker"),
        ),
    ]
    jobs: Annotated[
        int | None,
        Argument(
            parsers.parse_jobs,
            None,
            "The number of processors to use. By default all that this process may use.",
            section="speed",
            phase="write",
        ),
        Flag("Use this many processors.  [default: all that lamina may use]", "N", value_type=int),
    ]
    layer_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_shared_cache,
            None,
            "The file that keeps what is learnt about layers, so that later images need not read them again; or the "
            "URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default "
            "there is none.",
            old_names=("ledger",),
            rebase=relative_paths.rebase_path,
            section="speed",
        ),
        Flag(
            "Remember in this file what is in each layer, so that the next run need not read it again. It is created, "
            "and its folder too. s3://BUCKET/PREFIX and file:///FOLDER are shared by several machines, with the "
            "default file in front.  [default: a file in your cache folder]",
            "PATH|URL",
            completion="file",
        ),
        Flag("The old name of --layer-cache.", "PATH", is_hidden=True, name="--ledger"),
        switch(None, "Neither use nor change the layer cache.", name="--no-layer-cache"),
        switch(None, "The old name of --no-layer-cache.", is_hidden=True, name="--no-ledger"),
    ]
    local_layer_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_cache_path,
            None,
            "The file in which this machine remembers what a shared ``layer_cache`` knows; it is used only if that is "
            "a URL. By default there is none.",
            rebase=relative_paths.rebase_path,
            section="speed",
        ),
    ]
    blob_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_shared_cache,
            None,
            "The folder that keeps layers once they are compressed, so that each is compressed once, and the layers of "
            "base images in registries; or the URL of a bucket that several machines share, ``s3://BUCKET/PREFIX``, "
            "which needs ``local_blob_cache``. By default, layers are not kept.",
            rebase=relative_paths.rebase_path,
            section="registry",
            phase="plan",
        ),
        Flag(
            "Keep compressed layers, and those of images from registries, in this folder, and look for them there "
            "first. s3://BUCKET/PREFIX is shared by several machines, with the default folder in front.  [default: "
            "a folder in your cache folder, for layers from registries only]",
            "DIR|URL",
            completion="folder",
        ),
    ]
    local_blob_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_cache_path,
            None,
            "The folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``, it keeps "
            "the layers of base images in registries only. By default there is none.",
            rebase=relative_paths.rebase_path,
            section="registry",
            phase="plan",
        ),
    ]
    verify: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether layers that the layer cache knows are read and hashed again, and compared.",
            section="speed",
            phase="write",
        ),
        switch(True, "Read the layers that the layer cache knows too, and compare their digests."),
    ]
    # A spec file can come from another person, so it may not send credentials over plain HTTP.
    insecure: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether a registry on another machine may be used over plain HTTP if it does not speak TLS.",
            in_spec_file=False,
            section="registry",
            phase="plan",
        ),
        switch(True, "Allow plain HTTP for a registry on another machine that does not speak TLS."),
    ]
    # Where scripts look for programs, in the form of PATH. A spec file may not choose which programs run.
    search_path: Annotated[
        str,
        Argument(
            parsers.parse_text,
            os.defpath,
            "The folders in which scripts look for programs, in the form of ``PATH``.",
            in_spec_file=False,
        ),
    ]
    embedded_store: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_path,
            None,
            "The folder that keeps the store paths that binary caches send. By default a temporary one.",
            rebase=relative_paths.rebase_path,
        ),
    ]
