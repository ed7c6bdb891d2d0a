"""Find settings and credentials for S3 and sign requests with them, through botocore.

botocore looks in the same places as AWS's own tools: the environment, profiles (keys, SSO, `aws login`, a process, an
assumed role), a web identity token, a container's endpoint and the metadata service of an instance. It renews
credentials before they expire. `lamina.transports.connections` sends the requests; botocore only signs them.

Messages of botocore's errors may repeat a line of a file or a server's response, so they are never shown.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ConfigParseError, ProfileNotFound
from botocore.httpsession import URLLib3Session
from botocore.session import Session

from lamina.errors import Error, InvalidArgument, Unavailable
from lamina.messages.redaction import short_repr
from lamina.system.documents import check_file
from lamina.transports.environment import find_ca_bundle
from lamina.transports.retry import RetryPolicy
from lamina.transports.s3_urls import DEFAULT_REGION
from lamina.transports.urls import DEFAULT_PORTS, Origin

_SUBJECT = "AWS credentials"
_HINT = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or profile=NAME in the URL's query, to use other keys; "
    "AWS_EC2_METADATA_DISABLED=true prevents requests to the metadata service of an instance"
)
_PROFILE_HINT = (
    "check the profile with aws configure export-credentials --profile {name}; "
    "aws sso login --profile {name} starts a new session"
)
# Files that identify an EC2 instance, and the text at their start on such an instance (EC2 user guide, "Identify EC2
# instances").
_EC2_MARKERS = {"/sys/class/dmi/id/sys_vendor": "amazon ec2", "/sys/hypervisor/uuid": "ec2"}
_EXPECTED_CONFIG = "profiles of AWS"
_INSTANCE_PROVIDER = "iam-role"
# Gateways may rewrite these headers, which would break a signature that covers them.
_UNSIGNED = {"accept-encoding"}


class AwsSession:
    """AWS's settings and credentials for one cache, from environment variables and files; safe for many threads.

    Credentials are looked up when the first request is signed.

    Args:
        profile: the profile that the cache's URL names, or ``""``.
        region: the region that the cache's URL names, or ``""``.
        policy: the timeouts and attempts for requests to AWS's own services.

    Raises:
        InvalidArgument: the profile does not exist.
        Unavailable: one of AWS's configuration files cannot be read, or the environment has only half of a key.

    """

    def __init__(self, profile: str, region: str, policy: RetryPolicy) -> None:
        # At lower levels botocore logs credentials, tokens and responses, which must not appear in a program's log.
        logging.getLogger("botocore").setLevel(logging.CRITICAL + 1)
        self._policy = policy
        self._lock = RLock()
        self._profile = profile
        self._session = Session(profile=profile or None)
        self._profile = profile or self._get_setting("profile")
        if not self._profile:
            # An empty AWS_PROFILE means no profile. botocore accepts this only through its configuration store.
            self._session.get_component("config_store").set_config_variable("profile", None)
        self._check_config()
        self.region: str = region or os.environ.get("AWS_REGION") or self._get_setting("region") or DEFAULT_REGION
        """The region from the URL, else the environment, else the profile, else S3's default."""
        self.endpoint: str = self._call_botocore(self._find_endpoint)
        """The URL that the environment or the profile names for S3, or ``""``."""

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers to send: ``headers``, the host, and a signature if there are credentials.

        Args:
            method: the request's method.
            url: the URL to send, percent-encoded.
            headers: the request's headers without ``Host``.
            body: the complete body of the request.

        Raises:
            Unavailable: credentials could not be obtained, or contain characters that a header cannot hold.

        """
        all_headers = {**headers, "Host": _format_host(url)}
        credentials = self._get_credentials()
        if credentials is None:
            return all_headers
        signed = {name: value for name, value in all_headers.items() if name.lower() not in _UNSIGNED}
        request = AWSRequest(method, url, signed, body)
        self._call_botocore(lambda: S3SigV4Auth(credentials, "s3", self.region).add_auth(request))
        all_headers |= dict(request.headers.items())
        if not all(value.isascii() and value.isprintable() for value in all_headers.values()):
            raise Unavailable(_SUBJECT, "a character that a header cannot contain", "valid keys", hint=_HINT)
        return all_headers

    def _get_credentials(self) -> Any:
        """Return credentials that are valid now, or None if none are configured."""
        with self._lock:
            credentials = self._credentials
        return None if credentials is None else self._call_botocore(credentials.get_frozen_credentials)

    @cached_property
    def _credentials(self) -> Any:
        """The credentials that AWS's own tools would find, None if none are configured."""
        return self._call_botocore(self._resolve_credentials)

    def _resolve_credentials(self) -> Any:
        session = self._session
        session.set_config_variable("region", self.region)  # the services that issue credentials have regions too
        policy = self._policy
        session.set_default_client_config(
            Config(
                connect_timeout=policy.connect_timeout,
                read_timeout=policy.read_timeout,
                retries={"total_max_attempts": policy.attempts},
            )
        )
        bundle = find_ca_bundle()
        if bundle is not None and not self._get_setting("ca_bundle"):
            session.set_config_variable("ca_bundle", str(bundle))
        chain = session.get_component("credential_provider")
        if not _is_ec2_instance() and not self._get_setting("ec2_metadata_service_endpoint"):
            chain.remove(_INSTANCE_PROVIDER)  # On other machines there is no such service, and every run would wait.
        else:
            # The metadata service is on this machine, so a proxy must not be used: it could not reach the service and
            # would see the credentials. botocore has no setting for that.
            fetcher = chain.get_provider(_INSTANCE_PROVIDER)._role_fetcher  # noqa: SLF001 - see above
            fetcher._session = URLLib3Session(timeout=session.get_config_variable("metadata_service_timeout"))  # noqa: SLF001
        credentials = session.get_credentials()
        if credentials is None and self._profile:
            raise self._credentials_error("a profile without any")
        return credentials

    # --- settings

    def _check_config(self) -> None:
        """Raise an error for a missing profile, and for unreadable files and half a key, which botocore ignores."""
        for setting in ("config_file", "credentials_file"):
            if not self._get_setting(setting):
                continue
            path = self._get_config_path(setting)
            try:
                check_file(path, str(path), _EXPECTED_CONFIG)
                path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise Unavailable(path, error, _EXPECTED_CONFIG) from None
        self._call_botocore(self._session.get_scoped_config)
        if bool(os.environ.get("AWS_ACCESS_KEY_ID")) != bool(os.environ.get("AWS_SECRET_ACCESS_KEY")):
            raise Unavailable("environment", "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "both or none")

    def _get_setting(self, name: str) -> str:
        return str(self._call_botocore(lambda: self._session.get_config_variable(name)) or "")

    def _get_config_path(self, setting: str) -> Path:
        return Path(os.path.expanduser(os.path.expandvars(self._get_setting(setting))))

    def _find_endpoint(self) -> str:
        """Return the endpoint of S3 (AWS SDKs and tools reference, "Service-specific endpoints")."""
        if self._session.get_config_variable("ignore_configured_endpoint_urls"):
            return ""
        profile = self._session.get_scoped_config()
        services = self._session.full_config.get("services", {}).get(profile.get("services"), {})
        s3_settings = services.get("s3")
        candidates = (
            os.environ.get("AWS_ENDPOINT_URL_S3"),
            os.environ.get("AWS_ENDPOINT_URL"),
            s3_settings.get("endpoint_url") if isinstance(s3_settings, dict) else None,
            profile.get("endpoint_url"),
        )
        return next((str(candidate) for candidate in candidates if candidate), "")

    # --- errors

    def _call_botocore(self, function: Callable[[], Any]) -> Any:
        """Return the result of ``function`` and translate botocore's exceptions; no other method does.

        Raises:
            InvalidArgument: the profile does not exist.
            Unavailable: botocore raised anything else.

        """
        try:
            return function()
        except (Error, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - botocore raises errors of a dozen libraries, and documents none
            translated = self._translate_error(error)
        # Raised outside of the except block, so that botocore's error, whose text may contain secrets, is not attached.
        raise translated

    def _translate_error(self, error: Exception) -> Error:
        fields = getattr(error, "kwargs", {})
        if isinstance(error, ProfileNotFound):
            path = self._get_config_path("credentials_file")
            return InvalidArgument(f"profile {short_repr(self._profile)}", "no such profile", f"a profile in {path}")
        if isinstance(error, ConfigParseError):
            return Unavailable(fields.get("path", _SUBJECT), "an invalid line", _EXPECTED_CONFIG)
        provider = fields.get("provider")
        source = f" from {provider}" if isinstance(provider, str) else ""
        return self._credentials_error(f"{type(error).__name__}{source}")

    def _credentials_error(self, got: str) -> Unavailable:
        subject = f"{_SUBJECT} of the profile {short_repr(self._profile)}" if self._profile else _SUBJECT
        hint = _PROFILE_HINT.format(name=self._profile) if self._profile else _HINT
        return Unavailable(subject, got, "keys", hint=hint)


def _format_host(url: str) -> str:
    """Return the value of ``Host`` for ``url``, without a port that is the scheme's default (RFC 9112, 3.2)."""
    origin = Origin.of(url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == DEFAULT_PORTS[origin.scheme] else f"{host}:{origin.port}"


def _is_ec2_instance() -> bool:
    """Return whether this machine may be an EC2 instance, whose metadata service issues credentials."""
    for path, start in _EC2_MARKERS.items():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if Path(path).read_text().lower().startswith(start):
                return True
    return False
