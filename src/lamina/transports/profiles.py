"""Who we are to S3: keys in the environment, in a profile, or from the machine.

Invariant: keys are for signing requests alone; no message has them, nor what stands around them in a file.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass, field
from pathlib import Path

from lamina.documents import check_file
from lamina.errors import InvalidName, Unavailable, shown

_MACHINE = Path("/sys/class/dmi/id/sys_vendor")
# These say where a machine's keys are (AWS SDKs reference, "Container credential provider", "Assume role").
_ELSEWHERE = (
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
_NO_KEYS = "aws configure export-credentials --profile {} --format env prints keys that the environment can hold"


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with."""

    id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Keys, or None where the machine gives some; ``is_nobody`` where there are none at all."""

    keys: Keys | None = None
    is_nobody: bool = False
    region: str = ""
    endpoint: str = ""


def identity(profile: str) -> Identity:
    """Who we are by ``profile``, or by whatever is there where that is ``""``.

    Raises `InvalidName` for a profile that is not there, `Unavailable` for keys that are not whole or a broken file.
    """
    environ = os.environ
    named = profile or environ.get("AWS_PROFILE") or ""
    found = _profile(named or "default")
    if named and not found:
        raise InvalidName(f"profile {shown(named)}: got none of that name, expected one in {_path(*_CREDENTIALS)}")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or found.get("region", "")
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or found.get("endpoint_url", "")
    own = _keys({name.lower(): value for name, value in environ.items()})
    if own is None and (environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_SECRET_ACCESS_KEY")):
        raise Unavailable("environment: got one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, expected both or none")
    if own is not None and not profile:
        return Identity(own, region=region, endpoint=endpoint)
    keys = _keys(found)
    if keys is None and named:
        raise Unavailable(
            f"profile {shown(named)}: got no aws_access_key_id and aws_secret_access_key, expected both",
            hint=_NO_KEYS.format(named),
        )
    is_nobody = keys is None and not any(map(environ.get, _ELSEWHERE)) and not _is_machine_of_amazon()
    return Identity(keys, is_nobody, region, endpoint)


_CREDENTIALS = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
_CONFIG = ("AWS_CONFIG_FILE", "~/.aws/config")


def _path(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or os.path.expanduser(default))


def _profile(name: str) -> dict[str, str]:
    """All that both files say of a profile; what stands with the credentials comes first."""
    section = name if name == "default" else f"profile {name}"
    return _section(_path(*_CONFIG), section) | _section(_path(*_CREDENTIALS), name)


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, default_section="")
    try:
        check_file(path, str(path), "profiles of AWS")
        parser.read_string(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # What it says beyond that has lines of the file.
        got = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise Unavailable(f"{path}: got {got}, expected profiles of AWS") from None
    return dict(parser[name]) if parser.has_section(name) else {}


def _keys(values: dict[str, str]) -> Keys | None:
    name, secret = values.get("aws_access_key_id"), values.get("aws_secret_access_key")
    return Keys(name, secret, values.get("aws_session_token", "")) if name and secret else None


def _is_machine_of_amazon() -> bool:
    """Whether there is a service that gives keys to whoever runs here; elsewhere asking it would take long."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    try:
        return _MACHINE.read_text().startswith("Amazon EC2")
    except (OSError, UnicodeDecodeError):
        return False
