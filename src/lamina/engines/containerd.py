"""containerd, through its own client ``ctr``."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass

from lamina.engines.engine import LoopbackImage, WriteArchive
from lamina.engines.logins import write_hosts_folder
from lamina.engines.program import EngineProgram
from lamina.errors import OutputError
from lamina.formats.registry_references import RegistryReference


@dataclass(frozen=True, slots=True)
class ContainerdEngine:
    """The containerd and the namespace that ``ctr`` uses: those of CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE.

    A name without a registry gets ``docker.io/`` or ``docker.io/library/`` in front, as ``ctr images import`` does it.
    """

    program: EngineProgram
    name: str = "containerd"

    def find_obstacle(self) -> str:
        """Return an empty text: the address of containerd is always a socket of this machine."""
        return ""

    def pull(self, image: LoopbackImage, name: str) -> None:
        """Pull ``image``, call it ``name``, and remove the name that it has in the registry."""
        try:
            with write_hosts_folder(image) as folder:
                hosts = ("--hosts-dir", str(folder))
                self.program.call("images", "pull", *hosts, "--platform", str(image.platform), image.reference)
            self.program.call("images", "tag", "--force", image.reference, _complete(name))
        except BaseException:
            # ctr names an image before it unpacks the layers, so the name may be there.
            with contextlib.suppress(OutputError):
                self.program.call("images", "rm", image.reference)
            raise
        self.program.call("images", "rm", image.reference)

    def load(self, write: WriteArchive) -> None:
        """Load the archive that ``write`` writes."""
        self.program.feed(write, "images", "import", "-")

    def run(self, name: str, arguments: tuple[str, ...], *, has_terminal: bool) -> int:
        """Become the program that starts a container."""
        flags = ("--tty",) if has_terminal else ()
        container = f"lamina-{uuid.uuid4().hex[:12]}"
        return self.program.replace_process("run", "--rm", *flags, _complete(name), container, *arguments)


def _complete(name: str) -> str:
    """Return ``name`` with its registry, as containerd wants it."""
    return str(RegistryReference.parse(name))
