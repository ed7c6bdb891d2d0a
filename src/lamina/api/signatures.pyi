# Written by script/signatures from the table of arguments in lamina/inputs/arguments.py. Do not edit it.

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from lamina.api.image_index import IndexStream
from lamina.api.load import LoadResult
from lamina.api.results import ListResult
from lamina.api.store import FetchResult
from lamina.api.stream import Stream
from lamina.builder.prepare import PlanResult
from lamina.core.names import StorePath
from lamina.core.progress import Progress
from lamina.fleet.results import BatchProgress, BatchResult
from lamina.images.image import BuildResult
from lamina.images.software import SbomFormat, SbomResult
from lamina.images.verification import ImageVerificationResult
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry_index import IndexPushResult
from lamina.images.written_index import IndexBuildResult
from lamina.inputs.arguments import StrPath
from lamina.inputs.batch_specs import Specs
from lamina.inputs.registry_names import References
from lamina.layering import LayeringFunction, Pipeline
from lamina.rootfs.entries import DeclaredEntry
from lamina.rootfs.users import User
from lamina.stores.binary_cache.push import PushResult
from lamina.stores.embedded.verify import StoreCheck
from lamina.stores.store import Store, StoreLike
from lamina.system.output import Writable

HOMES: dict[str, str]

def stream_layered_image(
    *,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> Stream:
    """Prepare the image of store paths and their closure (nixpkgs: dockerTools.streamLayeredImage).

    The scripts run now. Store paths are read only when the image is written.

    Args:
        progress: receives the progress of fetching a base image from a registry.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By
            default ``gzip`` in a registry, and ``none`` elsewhere.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The image, ready to be streamed.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: a base image, a pipeline or the source of a file is missing, or cannot be read.
        FormatError: a base image, a pipeline or a narinfo does not follow its format.
        StoreError: a path is not valid, or a store could not be read.
        IntegrityError: a hash or a signature does not match.
        PlanError: the closure does not fit into the layers, or has a cycle.
        ScriptError: an extra command failed.
        OutputError: there is no room for temporary files.
        RegistryError: a registry lacks a base image, or failed.
        AuthError: a registry refuses the credentials, or wants some.
    """

def build_layered_image(
    *,
    output: StrPath,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> BuildResult:
    """Write the image of store paths and their closure to ``output`` (nixpkgs: dockerTools.buildLayeredImage).

    Args:
        output: a file, written whole or not at all; or, if it ends in ``/`` or is a folder, an OCI layout, to which
            only the blobs that it lacks are written.
        progress: receives the progress of the work.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By
            default ``gzip`` in a registry, and ``none`` elsewhere.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The image, with the digests of its layers, and what writing it took.

    Raises:
        Error: what `stream_layered_image` and `Stream.build` raise.
    """

def plan_layered_image(
    *,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> PlanResult:
    """Return which store path would go to which layer, without opening a store path or running a script.

    Args:
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By
            default ``gzip`` in a registry, and ``none`` elsewhere.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The plan: the layers of store paths in image order, the layers of the base image, and warnings.

    Raises:
        Error: what `stream_layered_image` raises.
    """

def push_layered_image(
    *,
    to: References,
    cache_from: References | None = (),
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> RegistryPushResult:
    """Push the image of store paths and their closure to registries; only the blobs that they lack are made and sent.

    A layer is neither read nor made if the layer cache knows its blob and the registry has it. Without an entry in the
    layer cache, what an image of ``cache_from`` states about a layer of the same store paths is used: it is as
    trustworthy as that image, and ``verify`` compares it with the packed layer. Tags move last.

    Args:
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: references to images whose layers are used where they are those of this image. By default the images
            that ``to`` names now. None to use no image.
        sbom: the format of a software bill of materials (SBOM) that is attached to the image, before a tag names it:
            ``cyclonedx`` for CycloneDX 1.6 in JSON, or ``spdx`` for SPDX 2.3 in JSON. By default there is none.
        provenance: whether a statement about how the image was made is attached to it in the same way: an in-toto
            statement with SLSA provenance, not signed.
        progress: receives the progress of the work.
        name: the image's name in messages. By default that of the first reference.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``.
            By default ``gzip``.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The image, with the digests of its layers and of its manifest, and what pushing it took.

    Raises:
        RegistryError: a registry failed, or refused something.
        AuthError: a registry refuses the credentials, or wants some.
        Error: what `stream_layered_image` raises.
    """

def load_layered_image(
    *,
    into: str | None = None,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> LoadResult:
    """Load the image of store paths and their closure into a container engine; only the layers that it lacks cross.

    The engine pulls the image from a server on a loopback address, which exists only until then and has a password for
    this engine alone. An engine that cannot reach the server gets the whole image as an archive, with a warning.

    Args:
        into: ``docker``, ``podman`` or ``containerd``; by default the first of them whose program is installed.
        progress: receives the progress of the work.
        layer_compression: the compression of each layer on its way. By default ``none``.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The image, with the digests of its layers, and what loading it took.

    Raises:
        InvalidArgument: no engine has the name ``into``, or another argument is wrong.
        OutputError: the program of the engine is not installed, or the engine failed.
        Error: what `stream_layered_image` raises.
    """

def push_image(
    image: StrPath,
    *,
    to: References,
    cache_from: References | None = (),
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    jobs: int | None = None,
    verify: bool = False,
    insecure: bool = False,
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    embedded_store: StrPath | None = None,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> RegistryPushResult:
    """Push an image from a file, an OCI layout or a registry to registries; only the blobs that they lack are sent.

    The image keeps its ID. Compressed layers are sent as they are, and so is the manifest of a layout all of whose
    layers are compressed; other layers are compressed. An image from a registry is copied without a change.

    Args:
        image: a file or folder, or ``FILE#NAME`` for one of several images in it; or a reference.
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: references to images whose blobs may be mounted. By default the images that ``to`` names now. None
            to use no image.
        platform: push the image for this platform, such as ``linux/arm64``; needed if there are several.
        max_unpacked_size: as in `inspect`.
        layer_compression: the compression of layers that are not compressed: ``none``, ``gzip`` or ``zstd``,
            optionally with ``:LEVEL``. By default ``gzip``.
        media_types: ``oci`` or ``docker``. By default those of an OCI layout stay as they are, and other images get
            OCI's. An image from a registry keeps its own.
        layer_cache: the file or URL that keeps what is learnt about layers. By default there is none.
        local_layer_cache: the file that stands in front of a ``layer_cache`` with a URL.
        jobs: the number of processors to use. By default all that this process may use.
        verify: whether to read and check the whole file before anything is sent. By default only the documents are
            read, and each layer that is sent is compared with its digest.
        insecure: whether a registry on another machine may be used over plain HTTP.
        sbom: the format of a software bill of materials that is attached to the image, as in `push_layered_image`; its
            contents are those of `image_sbom`, so hashes and references need a ``store``.
        provenance: must be false, because lamina does not know how an image that exists was made.
        embedded_store: as in `image_sbom`.
        progress: receives the progress: of the layers that have to be read first, if there are some, and of the push.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The image, with the digests of its layers and of its manifest, and what pushing it took. The size of a
        compressed layer that was not unpacked is that of its blob.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: there are several images, or none of that name.
        RegistryError: a registry failed, or refused something.
        AuthError: a registry refuses the credentials, or wants some.
        Error: what `inspect` raises.
    """

def push_index(
    images: StrPath | Sequence[StrPath],
    *,
    to: References,
    cache_from: References | None = (),
    max_unpacked_size: int | str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    jobs: int | None = None,
    verify: bool = False,
    insecure: bool = False,
    sbom: SbomFormat | None = None,
    embedded_store: StrPath | None = None,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> IndexPushResult:
    """Push images that exist for several platforms to registries, and last the index that lists them.

    An index is pushed as it is, with all that it lists, if no layer has to be compressed: its digest stays the same,
    and attestations are pushed too. Otherwise, and for images of several files or references, a new index is made.
    Images keep their IDs and, where they can, their manifests. No tag moves before all images are in all registries.

    Args:
        images: an image for several platforms, in a file, an OCI layout or a registry; or a list of images, each for
            other platforms. ``FILE#NAME`` stands for one of several images in a file.
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: as in `push_image`, and so are all other arguments.
        max_unpacked_size: as in `inspect`.
        layer_compression: the compression of layers that are not compressed; ``gzip`` by default.
        media_types: ``oci`` or ``docker``.
        layer_cache: the file or URL that keeps what is learnt about layers. By default there is none.
        local_layer_cache: the file that stands in front of a ``layer_cache`` with a URL.
        jobs: the number of processors to use.
        verify: whether to read and check the whole files before anything is sent.
        insecure: whether a registry on another machine may be used over plain HTTP.
        sbom: the format of a software bill of materials that is attached to each image.
        embedded_store: as in `image_sbom`.
        progress: receives the progress of each image.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The images and the index, and what pushing them took. A single image without an index gets none: the digest is
        then that of its manifest.

    Raises:
        InvalidArgument: an argument is wrong, or two images are for the same platform.
        NotFound: a file has several images of different names, or none of that name.
        IntegrityError: an image has another platform than its index states.
        FormatError: an index lists something that is missing.
        RegistryError: a registry failed, or refused something.
        AuthError: a registry refuses the credentials, or wants some.
        Error: what `inspect` raises.
    """

def stream_image_index(
    *,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> IndexStream:
    """Prepare an image for each of several platforms, each of its own store paths and their closure.

    The contents of a platform's image are ``contents``, and what ``roots`` has for it. A package name means the path
    with programs for the platform, if several have that name.

    Args:
        progress: receives the progress of fetching base images from a registry.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By
            default ``gzip`` in a registry, and ``none`` elsewhere.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The images, ready to be written.

    Raises:
        InvalidArgument: an argument is wrong, or none names a platform.
        Error: what `stream_layered_image` raises. The error of an image names its platform.
    """

def build_image_index(
    *,
    output: StrPath,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> IndexBuildResult:
    """Write an image for each of several platforms to ``output``, with an index that lists them.

    Args:
        output: a file, which is an OCI archive if ``format`` is ``oci``, and is written whole or not at all; or, if it
            ends in ``/`` or is a folder, an OCI layout, to which only the blobs that it lacks are written.
        progress: receives the progress of the work.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By
            default ``gzip`` in a registry, and ``none`` elsewhere.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The images and the index, and what writing them took.

    Raises:
        Error: what `stream_image_index` and `IndexStream.build` raise.
    """

def push_image_index(
    *,
    to: References,
    cache_from: References | None = (),
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> IndexPushResult:
    """Push an image for each of several platforms to registries, and last an index that lists them.

    The images have no tag of their own; an engine that pulls the tag of the index takes the image for its platform.

    Args:
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: as in `push_layered_image`; of an index, the layers of all its images are used.
        sbom: as in `push_layered_image`, for each image.
        provenance: as in `push_layered_image`, for each image.
        progress: receives the progress of the work.
        name: the image's name in messages. By default that of the first reference.
        layer_compression: as in `push_layered_image`.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The images and the index, and what pushing them took.

    Raises:
        Error: what `push_layered_image` raises. The error of an image names its platform.
    """

def batch(
    specs: Specs,
    *,
    to: str | None = None,
    output: StrPath | None = None,
    on: str = "local",
    client: object | None = None,
    fail_fast: bool = False,
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    progress: BatchProgress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
    contents: StrPath | Iterable[StrPath] = (),
    roots: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str] = {},
    closure: StrPath | Iterable[StrPath] = (),
    from_image: StrPath | None = None,
    lock_file: StrPath | None = None,
    locked: bool = False,
    max_unpacked_size: int | str | None = None,
    max_layers: int = 100,
    layering: StrPath | Sequence[Any] | Pipeline | LayeringFunction = "cost",
    layers: Sequence[str | Sequence[str]] = (),
    history: StrPath | Iterable[StrPath] = (),
    rates: StrPath | Mapping[str, float] = {},
    reserve: int = 0,
    siblings: Mapping[str, Mapping[str, Any]] = {},
    include_store_paths: bool = True,
    config: Mapping[str, Any] | None = {},
    name: str | None = None,
    tag: str | None = None,
    architecture: str | None = None,
    platforms: str | Sequence[str] = (),
    created: str | datetime = "1970-01-01T00:00:01Z",
    annotations: Mapping[str, str] | Sequence[str] = (),
    mtime: str | datetime = "1970-01-01T00:00:01Z",
    uid: int = 0,
    gid: int = 0,
    uname: str = "root",
    gname: str = "root",
    extra_commands: str = "",
    inherit: str | Sequence[str] = (),
    fake_root_commands: str = "",
    enable_fakechroot: bool = False,
    include_nix_db: bool = False,
    time_limit: float | None = None,
    sandbox: bool = True,
    extras: str | Sequence[str] = (),
    add_user: str | User | Sequence[str | User] = (),
    tree: Sequence[DeclaredEntry] = (),
    compressor: str | None = None,
    format: str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    jobs: int | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    verify: bool = False,
    insecure: bool = False,
    search_path: str = "/bin:/usr/bin",
    embedded_store: StrPath | None = None,
) -> BatchResult:
    """Build many images; every distinct layer is made once, sent once, and mounted elsewhere.

    Images whose arguments name no ``layering`` are planned together, so that they share layers.

    Args:
        specs: spec files, each as ``FILE`` or ``FILE#NAME``; or the arguments of images, by names for them.
        to: the prefix of a registry, such as ``ghcr.io/me``. An image gets the name and the tag of its arguments below
            it; by default that of its table, and ``latest``.
        output: an OCI layout for all images, instead of ``to``.
        on: where layers are made: ``local`` or ``local:N`` for worker processes of this machine, or the address of the
            scheduler of a Dask cluster, such as ``tcp://10.0.0.1:8786``.
        client: a ``distributed.Client`` whose cluster makes the layers, instead of ``on``.
        fail_fast: whether the first error ends the batch. Otherwise the other images are built, and the errors are in
            the result.
        sbom: the format of a software bill of materials to attach to each image, as in `push_layered_image`.
        provenance: whether to attach the provenance of each image, as in `push_layered_image`.
        progress: receives the progress.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.
        contents: what the image is made of: store paths, folders inside store paths, links to store paths, or package
            names that fit exactly one path of the store. Each is linked at the image's root, and its closure is added.
        roots: contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as
            ``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.
        closure: store paths that are added with their closures, without links at the image's root.
        from_image: the base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.
            Or a reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.
        lock_file: the file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag
            has moved. A missing file is not used.
        locked: whether a base image in a registry must have a digest, in its reference or in ``lock_file``.
        max_unpacked_size: the most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2
            GiB, or 100 times the size of a larger file, or of the compressed layers in a registry.
        max_layers: the most layers that the image may have, with those of the base image and the customisation layer.
        layering: how store paths are distributed to layers: ``cost``, ``auto``, ``popularity``, ``shared``,
            ``pinned:IMAGE`` to keep the layers of an earlier image, a pipeline of operations, the name of a JSON file
            that holds one, or in Python a function (`LayeringFunction`).
        layers: layers of store paths that belong together: for each layer, a list of patterns on package names, such as
            ``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as
            well. ``layering`` plans the other paths.
        history: earlier images, from which the layerings ``cost``, ``shared`` and ``pinned:IMAGE`` learn how often each
            package changes: files, OCI layouts with all their images, folders of image files, references, and
            repositories without a tag with all their tags. Only their documents are read.
        rates: how often packages change, for the layerings ``cost``, ``shared`` and ``pinned:IMAGE``: a number for each
            pattern on package names, such as ``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of
            most packages. The first pattern that takes a path counts, and more than ``history``.
        reserve: the number of layers that something else will add to the image, such as a Dockerfile: the image has so
            few that docker can load it with them.
        siblings: the images that the layering ``shared`` plans together with this one: for each, its arguments by a
            name for it. Those with another layering are not used.
        include_store_paths: whether the image holds the store paths. Without them, the links at its root dangle.
        config: the container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and
            ``Env``.
        name: the image's name. By default the package name of the first item of ``contents``.
        tag: the image's tag. By default the first 32 hex digits of the image ID.
        architecture: the image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``,
            ``arm/v7``. By default that of the first program in the image.
        platforms: the platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index`
            and `push_image_index` make an image for each; all other functions make one image, and take one platform. By
            default those in ``roots``, and without these the one that ``architecture`` says.
        created: the date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        annotations: what the image's manifest says about it, in an OCI layout and in a registry: an object of strings,
            or a list of ``K=V``. The date of the image and its base image are there already.
        mtime: the modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or
            ``now``.
        uid: the number of the user who owns all files in store layers.
        gid: the number of the group that owns all files in store layers.
        uname: the name of the user who owns all files in store layers.
        gname: the name of the group that owns all files in store layers.
        extra_commands: a Bash script that runs in the folder that becomes the image's root. It uses relative paths.
        inherit: keys of the base image's container config that are taken over, beside ``Env``.
        fake_root_commands: a Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that
            it can change owners.
        enable_fakechroot: whether ``fake_root_commands`` sees the image's root as ``/``, under proot.
        include_nix_db: whether the image holds a Nix database in which all its store paths are valid.
        time_limit: the most seconds that each script may take. By default there is no limit.
        sandbox: whether scripts are confined to the image's root, without a network. If no sandbox can be had, they are
            refused.
        extras: ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.
        add_user: users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and
            ``/etc/group``, and each home folder is created for its user.
        tree: entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.
        compressor: the compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says
            it.
        format: the format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By
            default ``docker``; a folder is always ``oci``.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By
            default ``gzip`` in a registry, and ``none`` elsewhere.
        media_types: the media types in a registry: ``oci``, or ``docker`` for registries and programs that know no
            others. By default ``oci``, which annotations and layers of zstd need.
        jobs: the number of processors to use. By default all that this process may use.
        layer_cache: the file that keeps what is learnt about layers, so that later images need not read them again; or
            the URL of a place that several machines share, ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``. By default
            there is none.
        local_layer_cache: the file in which this machine remembers what a shared ``layer_cache`` knows; it is used only
            if that is a URL. By default there is none.
        blob_cache: the folder that keeps layers once they are compressed, so that each is compressed once, and the
            layers of base images in registries; or the URL of a bucket that several machines share,
            ``s3://BUCKET/PREFIX``, which needs ``local_blob_cache``. By default, layers are not kept.
        local_blob_cache: the folder of this machine in front of a ``blob_cache`` in a bucket. Without a ``blob_cache``,
            it keeps the layers of base images in registries only. By default there is none.
        verify: whether layers that the layer cache knows are read and hashed again, and compared.
        insecure: whether a registry on another machine may be used over plain HTTP if it does not speak TLS.
        search_path: the folders in which scripts look for programs, in the form of ``PATH``.
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.

    Returns:
        The images, each with its digests or its error, the distinct layers, and what they took.

    Raises:
        InvalidArgument: an argument is wrong, or two images have the same name and tag.
        InputError: a spec file is missing, or cannot be read.
        FormatError: a spec file does not follow its format.
        OutputError: the cluster cannot be reached, or its workers have other versions than this machine.
        RegistryError: the registry failed before the first layer was made.
        AuthError: the registry refuses the credentials, or wants some.
        Error: the first error of an image, if the batch fails fast.
    """

def open_store(
    *,
    embedded_store: StrPath | None = None,
    warnings: list[str] | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> AbstractContextManager[Store]:
    """Open stores as one for a block, to look up store paths, or to plan and write images step by step.

    Args:
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.
        warnings: a list to which messages about the stores are added.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        A context manager, which gives the store. The store cannot be used after the block.

    Raises:
        InvalidArgument: an argument is wrong.
        Unavailable: a store could not be read.
        FormatError: a closure graph does not follow its format.
    """

def fetch_paths(
    roots: Iterable[str],
    *,
    embedded_store: StrPath,
    jobs: int | None = None,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> FetchResult:
    """Fetch the closure of ``roots`` into the embedded store.

    Args:
        roots: store paths and package names.
        embedded_store: the store's folder, which is created if it is missing.
        jobs: the number of processors to use; None for all.
        progress: receives the progress of the work.
        store: where the paths come from, as in `stream_layered_image`. By default https://cache.nixos.org.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The closure, and which of its paths were fetched.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: no source has a path.
        Unavailable: a source could not be read.
        IntegrityError: a hash or signature does not match.
        FormatError: a source sent something that does not follow its format.
        PlanError: the closure has a cycle.
        OutputError: the embedded store could not be written.

    Paths that were fetched before an error stay in the store.
    """

def verify_image(
    image: StrPath,
    *,
    platform: str | None = None,
    full: bool = False,
    embedded_store: StrPath | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> ImageVerificationResult:
    """Make the layers of an image again from store paths, and say which of them signed store paths give.

    The store paths of a layer are those in the image's history. They are packed from the stores, and the digest is
    compared with the diff ID in the image's config. A file or layout is read whole, and its bytes are compared with
    their digests too. Of an image in a registry, only the manifest, the config and the first headers of layers are
    read, and a layer that differs up to its first difference.

    What is fetched from binary caches goes to a temporary folder, because paths that nobody signed are fetched too.

    Args:
        image: a file or a folder, ``FILE#NAME`` for one of several images in it, or a reference to an image in a
            registry.
        platform: the platform of the image, such as ``linux/arm64``; needed if there are several.
        full: read all layers of an image in a registry, and compare them with their digests.
        embedded_store: a store that is asked after the machine's own, if ``store`` names none.
        max_unpacked_size: the most bytes that each layer may unpack to; as in `inspect`.
        insecure: whether a registry on another machine may be used over plain HTTP.
        progress: receives the progress of packing and reading the layers.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures count beside that of cache.nixos.org. If some are
            given, a store path without a signature is a failure.
        verify_signatures: whether a store path without a signature can be a failure.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The verdict on each layer. Layers that differ raise no error.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: the image is missing, or cannot be read.
        NotFound: a file has several images, or none of that name.
        FormatError: the file is not an image.
        IntegrityError: the image's documents contradict each other, or a store sent what its narinfo does not say.
        PlanError: no image is for ``platform``.
        Unavailable: a store could not be read.
        RegistryError: the registry has no such image, or failed.
        AuthError: the registry refuses the credentials, or wants some.
    """

def verify_store(
    *,
    embedded_store: StrPath,
    repair: bool = False,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> StoreCheck:
    """Hash every path in the embedded store again, and optionally repair damaged ones.

    Args:
        embedded_store: the store's folder.
        repair: download damaged paths again. A path that no cache has stays as it is.
        progress: receives the progress of hashing the paths.
        store: the binary caches that damaged paths are fetched from.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        How many paths are valid and intact, and which are damaged or were repaired.

    Raises:
        InvalidArgument: an argument is wrong, or ``repair`` is true and ``sources`` name no binary cache.
        Unavailable: there is no store.
        OutputError: the store could not be written.
    """

def export_paths(
    roots: str | Iterable[str] = (),
    *,
    output: StrPath | Writable,
    embedded_store: StrPath,
    all_paths: bool = False,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> ListResult[StorePath]:
    """Write the closure of ``roots`` in the format of ``nix-store --export``.

    Args:
        roots: store paths and package names.
        output: a file, written whole or not at all, or anything with a binary ``write``.
        embedded_store: the folder that the closure comes from.
        all_paths: write every path in ``embedded_store``; give no roots and no sources then.
        progress: receives the progress of the work.
        store: other stores that the closure comes from, as in `stream_layered_image`. By default ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The paths in the order in which they were written, references first, with warnings about the stores.

    Raises:
        InvalidArgument: an argument is wrong.
        StoreError: a path is not valid, or a store could not be read.
        IntegrityError: a path does not match its NAR hash.
        OutputError: ``output`` could not be written.
    """

def push_paths(
    roots: str | Iterable[str] = (),
    *,
    to: str,
    embedded_store: StrPath,
    all_paths: bool = False,
    compression: str = "zstd",
    key_files: StrPath | Sequence[StrPath] = (),
    listings: bool = True,
    jobs: int | None = None,
    on_path: Callable[[StorePath], object] = ...,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> PushResult:
    """Copy the closure of ``roots`` to a binary cache, except paths that are there already.

    The cache is valid at every moment, also after an error.

    Args:
        roots: store paths and package names.
        to: the cache, ``file:///FOLDER`` or ``s3://BUCKET``.
        embedded_store: the folder that the closure comes from.
        all_paths: copy every path in ``embedded_store``; give no roots and no sources then.
        compression: none, zstd, xz, gzip or bzip2, optionally with ``:LEVEL``.
        key_files: files with the secret keys to sign with.
        listings: write a listing of its files beside each NAR.
        jobs: the number of processors to use; None for all.
        on_path: is called with each path once it is in the cache.
        progress: receives the progress of the work.
        store: other stores that the closure comes from, as in `stream_layered_image`. By default ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        Which paths were sent, which were there and got new signatures, and the size of what was sent.

    Raises:
        InvalidArgument: an argument is wrong.
        StoreError: a path is not valid, a store could not be read, or the cache could not be reached.
        InputError: a key file is missing, or cannot be read.
        IntegrityError: a path does not match its NAR hash.
        OutputError: the cache could not be written.
    """

def sbom(
    roots: StrPath | Iterable[StrPath],
    *,
    format: SbomFormat = "cyclonedx",
    created: str | datetime = "1970-01-01T00:00:01Z",
    platform: str | None = None,
    embedded_store: StrPath | None = None,
    search_path: str = "",
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> SbomResult:
    """Return a software bill of materials (SBOM) of store paths and everything that they need.

    No store path is read or downloaded, except to choose by ``platform``. The same store paths, date and version of
    lamina give the same bytes.

    Args:
        roots: store paths, and what else an image can be made of: names of packages, links to store paths, and what Nix
            builds first.
        format: ``cyclonedx`` for CycloneDX 1.6 in JSON, or ``spdx`` for SPDX 2.3 in JSON.
        created: the date of the document: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        platform: of several store paths that have a name in ``roots``, take the one with programs for this platform,
            such as ``linux/arm64``. They are downloaded to find out.
        embedded_store: the folder of the embedded store, which is one of the default stores.
        search_path: where Nix is looked for, in the form of ``PATH``.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The document, its media type, and the store paths in it.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: no store has a path.
        Unavailable: a store could not be read.
        FormatError: a narinfo or a closure graph does not follow its format.
        IntegrityError: a signature does not match.
        PlanError: the closure has a cycle.
    """

def image_sbom(
    image: StrPath,
    *,
    format: SbomFormat = "cyclonedx",
    created: str | datetime | None = None,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    embedded_store: StrPath | None = None,
    progress: Progress | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    trusted_keys: str | Sequence[str] = (),
    verify_signatures: bool = True,
    channel: str | None = None,
    channel_lists: StrPath | None = None,
    offline: bool = False,
) -> SbomResult:
    """Return a software bill of materials (SBOM) of the store paths in the layers of an image.

    An image holds neither hashes nor references of its store paths. They come from ``store``, and are left out without
    it. Of an image in a registry, only the manifest and the config are read.

    Args:
        image: a file or a folder, ``FILE#NAME`` for one of several images in it, or a reference to an image in a
            registry.
        format: as in `sbom`.
        created: the date of the document, as in `sbom`. By default that of the image.
        platform: the platform of one of several images, such as ``linux/arm64``.
        max_unpacked_size: as in `inspect`.
        insecure: whether a registry on another machine may be used over plain HTTP.
        embedded_store: the folder that keeps the store paths that binary caches send; as nothing is downloaded, it only
            answers for paths that it has.
        progress: receives the progress of reading the image.
        store: where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache
            (``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of `StoreLike`. Of
            several, the first that has a path gives it. By default the machine's own store, then ``embedded_store``.
        trusted_keys: public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of
            cache.nixos.org.
        verify_signatures: whether a path from a binary cache must have the signature of a trusted key.
        channel: where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list of
            store paths.
        channel_lists: the folder that keeps downloaded lists of channels. By default they are not kept.
        offline: whether the network is not used at all.

    Returns:
        The document, its media type, the store paths in it, and warnings about what is not known of the image.

    Raises:
        NotFound: the file has several images, or none of that name.
        Unavailable: a store could not be read.
        Error: what `inspect` raises.
    """
