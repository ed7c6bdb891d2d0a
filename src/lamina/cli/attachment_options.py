"""The options for documents that are attached to images in registries."""

from __future__ import annotations

from lamina.cli.command import Decorator, option
from lamina.cli.options import Choice

_FORMATS = ("cyclonedx", "spdx")
_BILL = "Attach a software bill of materials to the image, CycloneDX 1.6 or SPDX 2.3."
_PROVENANCE = "Attach a statement about how the image was made: an in-toto statement with SLSA provenance, not signed."


def attachment_options(bill_help: str = "") -> Decorator:
    """Give a verb the options ``--sbom`` and ``--provenance``.

    Args:
        bill_help: more help for ``--sbom``.

    Returns:
        A decorator of the function of the verb.

    """
    bill = option(
        "--sbom",
        section="registry",
        type=Choice(_FORMATS),
        completion=_FORMATS,
        metavar="|".join(_FORMATS),
        help=" ".join(filter(None, (_BILL, bill_help))),
    )
    provenance = option("--provenance", section="registry", is_flag=True, help=_PROVENANCE)
    return lambda function: bill(provenance(function))
