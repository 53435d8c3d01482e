"""What the API server's refusals mean, in the words of the ports, with what to change.

Unavailable   no connection, timeout, 401, 408, 429, 5xx
Conflict      409; Expired: 410, a page's token is too old
Missing       404, and 403 for a namespace that is being deleted
Rejected      403, with the RBAC rule where one is missing; Unprocessable: 422; any other 4xx
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from flyball.cluster.resources import Resource, dig
from flyball.core.ports import Conflict, Missing, PortError, Rejected, Unavailable

_TEXT_LIMIT = 500
_DENIED = re.compile(r'User "([^"]*)" cannot ')


class Expired(Conflict):
    """The list must begin anew: its next page's token is too old."""


class Fenced(Unavailable):
    """A write that was not sent, because it might have overlapped with those of the lease's next holder."""


class Unprocessable(Rejected):
    """A JSON patch's test failed, or the object that it makes is invalid; only looking again tells which."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as RBAC and people see it."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def rbac_resource(self) -> str:
        """The resource as an RBAC rule spells it, for example `deployments/scale`."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.rbac_resource}{' ' + self.name if self.name else ''}{where}"


def error_of(call: Call, status: int, body: bytes) -> PortError:
    """The port's error for an answer that was no success."""
    text, causes = _explanation(body)
    if status == 404 or (status == 403 and "NamespaceTerminating" in causes):
        return Missing(f"{call}: {text or 'not found'}")
    if status == 403:
        denied = _DENIED.search(text)
        # Admission policies and quotas answer 403 too, and no RBAC rule helps against those.
        return Rejected(f"{call}: forbidden to {denied[1]}; {_rbac_rule(call)}" if denied else f"{call}: {text}")
    if status == 401:
        return Unavailable(f"{call}: the API server refuses the credentials (401); check the service account's token")
    if status in (408, 429) or status >= 500:
        return Unavailable(f"{call}: the API server answered {status}: {text}")
    kind = {409: Conflict, 410: Expired, 422: Unprocessable}.get(status, Rejected)
    return kind(f"{call}: {text or f'the API server answered {status}'}")


def _rbac_rule(call: Call) -> str:
    scope = f"in namespace {call.namespace}" if call.namespace else "cluster-wide"
    return f"grant verb {call.verb!r} on {call.rbac_resource!r} in API group {call.resource.group!r} {scope}"


def _explanation(body: bytes) -> tuple[str, frozenset[str]]:
    """The message of a `Status` object and the reasons of its causes; any other body as text."""
    try:
        status: Any = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        return body.decode(errors="replace").strip()[:_TEXT_LIMIT], frozenset()
    causes = dig(status, "details", "causes") or ()
    return str(status.get("message", ""))[:_TEXT_LIMIT], frozenset(str(cause.get("reason", "")) for cause in causes)
