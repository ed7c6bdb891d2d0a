"""The arguments about the root of an image: scripts, ready-made contents, users and declared entries."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.inputs import parsers, relative_paths
from lamina.inputs.declarations import Argument, Flag, entries, repeatable, switch, words

if TYPE_CHECKING:
    from lamina.rootfs.entries import DeclaredEntry
    from lamina.rootfs.users import User


class RootArguments(TypedDict, total=False):
    """The files at the image's root."""

    extra_commands: Annotated[
        str,
        Argument(
            parsers.parse_text,
            "",
            "A Bash script that runs in the folder that becomes the image's root. It uses relative paths.",
            section="scripts",
        ),
        Flag("Run this Bash script in the folder that becomes the image's root. Paths in it are relative.", "SCRIPT"),
    ]
    inherit: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_inherit,
            (),
            "Keys of the base image's container config that are taken over, beside ``Env``.",
            section="config",
        ),
        words(
            "KEYS",
            "Keep these keys of the base image's config, separated by commas, such as Cmd,User. Env is always kept.",
            completion=("Cmd", "Entrypoint", "ExposedPorts", "Labels", "StopSignal", "User", "Volumes", "WorkingDir"),
        ),
    ]
    fake_root_commands: Annotated[
        str,
        Argument(
            parsers.parse_text,
            "",
            "A Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that it can "
            "change owners.",
            section="scripts",
        ),
        Flag("Run this Bash script after --extra-commands, under fakeroot, so that it can change owners.", "SCRIPT"),
    ]
    enable_fakechroot: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether ``fake_root_commands`` sees the image's root as ``/``, under proot.",
            section="scripts",
        ),
        switch(True, "Show the image's root as / to --fake-root-commands, with proot."),
    ]
    include_nix_db: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether the image holds a Nix database in which all its store paths are valid.",
            key="includeNixDB",
            section="files",
        ),
        switch(True, "Add a Nix database with all store paths, for a Nix that runs in the container."),
    ]
    time_limit: Annotated[
        float | None,
        Argument(
            parsers.parse_seconds,
            None,
            "The most seconds that each script may take. By default there is no limit.",
            section="scripts",
        ),
        Flag("Stop a script that runs longer than this.  [default: no limit]", "SECONDS", value_type=float),
    ]
    # A spec file can come from another person, so it may not disable the sandbox.
    sandbox: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            True,
            "Whether scripts are confined to the image's root, without a network. If no sandbox can be had, they "
            "are refused.",
            in_spec_file=False,
            section="scripts",
        ),
        switch(
            False,
            "Run scripts without a sandbox, with all of your own permissions.  [default: in a sandbox, and an error "
            "where none can be had]",
            name="--no-sandbox",
        ),
    ]
    extras: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_extras,
            (),
            "Ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.",
            key="with",  # as the option is called; Python cannot take a keyword as the name of an argument
            section="files",
        ),
        words(
            "WORDS",
            "Add ready-made contents, separated by commas: nss (/etc/passwd, /etc/group and the like), certs (CA "
            "certificates), sh (/bin/sh), env (/usr/bin/env), tmp (a /tmp that everybody can write to).",
            name="--with",
            completion=("nss", "certs", "sh", "env", "tmp"),
        ),
    ]
    add_user: Annotated[
        "str | User | Sequence[str | User]",
        Argument(
            parsers.parse_users,
            (),
            "Users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and "
            "``/etc/group``, and each home folder is created for its user.",
            section="files",
        ),
        repeatable("NAME:UID[:GID[:HOME]]", "Add a user and its group, and create HOME for it.  [default: GID as UID]"),
    ]
    tree: Annotated[
        "Sequence[DeclaredEntry]",
        Argument(
            parsers.parse_tree,
            (),
            "Entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.",
            rebase=relative_paths.rebase_sources,
            section="files",
            phase="plan",
        ),
        entries("dir", "PATH[:MODE[:UID:GID]]", "Make a folder in the image.", phase="draft"),
        entries("file", "PATH=SOURCE[:MODE[:UID:GID]]", "Copy the file SOURCE into the image, as PATH."),
        entries("symlink", "PATH=TARGET", "Make a symbolic link in the image."),
        entries(
            "perm", "PATH:MODE[:UID:GID]", "Set the mode, and the owner, of a path of the image's root.", phase="draft"
        ),
        entries("xattr", "PATH:NAME=HEX", "Set an extended attribute of a path of the image's root.", phase="draft"),
    ]
