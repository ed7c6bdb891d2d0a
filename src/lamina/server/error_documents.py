"""Errors in the form that clients of registries show (OCI distribution-spec 1.1, "Error Codes")."""

from __future__ import annotations

import json

from lamina.errors import Error, InvalidArgument, NotFound
from lamina.server.http_messages import Headers, ServerResponse

JSON_TYPE = "application/json"


class RequestRefused(Exception):
    """A request that is answered with an error.

    Args:
        status: the status code of HTTP.
        code: the code in the document; one of the specification where it has one that fits.
        message: what was wrong, for people.
        headers: more headers of the answer.
    """

    def __init__(self, status: int, code: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers

    def make_response(self) -> ServerResponse:
        """Return the answer, with the error as a JSON document."""
        document = json.dumps({"errors": [{"code": self.code, "message": str(self)}]}).encode()
        headers = (("Content-Type", JSON_TYPE), ("Content-Length", str(len(document))), *self.headers)
        return ServerResponse(self.status, headers, (document,), str(self))


def explain_failure(error: Error) -> RequestRefused:
    """Return the refusal of a request for an image that could not be made.

    A wrong name or argument means that there is no such image (404). All else is a failure of the server (500).
    The hint is left out: it is for those who run the server, and may say which files they have.
    """
    status, code = (404, "MANIFEST_UNKNOWN") if isinstance(error, NotFound | InvalidArgument) else (500, "UNKNOWN")
    return RequestRefused(status, code, str(error))
