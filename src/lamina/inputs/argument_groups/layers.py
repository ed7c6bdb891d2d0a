"""The arguments that decide which store path goes to which layer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from lamina.inputs import parsers, relative_paths
from lamina.inputs.argument_groups.paths import StrPath
from lamina.inputs.declarations import Argument, Flag, repeatable, switch
from lamina.inputs.siblings import parse_siblings

if TYPE_CHECKING:
    from lamina.layering import LayeringFunction, Pipeline


class LayerArguments(TypedDict, total=False):
    """The layers of store paths."""

    max_layers: Annotated[
        int,
        Argument(
            parsers.parse_layer_count,
            100,
            "The most layers that the image may have, with those of the base image and the customisation layer.",
            section="layers",
            phase="plan",
        ),
        Flag(
            "Use at most this many layers. Those of a base image and the customisation layer count.  [default: 100]",
            "N",
            value_type=int,
        ),
    ]
    layering: Annotated[
        "StrPath | Sequence[Any] | Pipeline | LayeringFunction",
        Argument(
            parsers.parse_layering,
            "cost",
            "How store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``, "
            "``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON "
            "file that holds one, or in Python a function (`LayeringFunction`).",
            key="layeringPipeline",
            rebase=relative_paths.rebase_layering,
            section="layers",
            phase="plan",
        ),
        Flag(
            "How store paths are grouped into layers: cost (so that an update sends few bytes), auto (as nixpkgs does "
            "now), popularity (as nixpkgs did until 2025), shared (cost, so that the images of a spec file that have "
            "it share layers), pinned:IMAGE (keep the layers of an earlier image: a file, an OCI layout or a "
            "reference), or a JSON file with a layering pipeline.  [default: cost]",
            "NAME|pinned:IMAGE|FILE",
            completion=("auto", "cost", "popularity", "shared", "pinned:"),
        ),
    ]
    layers: Annotated[
        Sequence[str | Sequence[str]],
        Argument(
            parsers.parse_layer_lists,
            (),
            "Layers of store paths that belong together: for each layer, a list of patterns on package names, such as "
            "``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as "
            "well. ``layering`` plans the other paths.",
            section="layers",
            phase="plan",
        ),
        repeatable(
            "PATTERN[,PATTERN...]",
            "Put the store paths whose package name matches a pattern into a layer of their own, for instance "
            "'python3,numpy-*'. PATTERN^* takes everything that they refer to as well. A path goes to the first "
            "--layer that takes it, and --layering plans the others.",
            name="--layer",
        ),
    ]
    history: Annotated[
        StrPath | Iterable[StrPath],
        Argument(
            parsers.parse_texts,
            (),
            "Earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each "
            "package changes: files, OCI layouts with all their images, folders of image files, references, and "
            "repositories without a tag with all their tags. Only their documents are read.",
            rebase=relative_paths.rebase_images,
            section="layers",
            phase="plan",
        ),
        repeatable(
            "IMAGE|DIR|REF",
            "Learn from earlier images how often each package changes, for --layering cost, pinned:IMAGE and shared: "
            "an image file, an OCI layout, a folder of image files, or a reference; without a tag, all tags of its "
            "repository.",
            completion="file",
        ),
    ]
    rates: Annotated[
        StrPath | Mapping[str, float],
        Argument(
            parsers.parse_rates,
            {},
            "How often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each "
            "pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate "
            "of most packages. The first pattern that takes a path counts, and more than ``history``.",
            rebase=relative_paths.rebase_path,
            section="layers",
            phase="plan",
        ),
        Flag(
            "Read from this file how often packages change, for --layering cost, pinned:IMAGE and shared: a line "
            '"PATTERN" = RATE for each, where 1 is the rate of most packages.',
            "FILE",
            completion="file",
        ),
    ]
    reserve: Annotated[
        int,
        Argument(
            parsers.parse_reserve,
            0,
            "The number of layers that something else will add to the image, such as a Dockerfile: the image has so "
            "few that docker can load it with them.",
            section="layers",
            phase="plan",
        ),
        Flag(
            "Leave room for this many more layers, for instance of a Dockerfile that builds on the image: docker loads "
            "at most 125.  [default: 0]",
            "N",
            value_type=int,
        ),
    ]
    # On the command line, they are the images of the spec file.
    siblings: Annotated[
        Mapping[str, Mapping[str, Any]],
        Argument(
            parse_siblings,
            {},
            "The images that the layering ``shared`` plans together with this one: for each, its arguments by a name "
            "for it. Those with another layering are not used.",
            in_spec_file=False,
            section="layers",
            phase="plan",
        ),
    ]
    include_store_paths: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            True,
            "Whether the image holds the store paths. Without them, the links at its root dangle.",
            section="layers",
            phase="plan",
        ),
        switch(
            False,
            "Leave the store paths out. The links at the image's root then point to nothing.",
            name="--no-store-paths",
        ),
    ]
