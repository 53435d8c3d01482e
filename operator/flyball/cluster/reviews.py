"""Whether whoever holds a bearer token may report outcomes of a workload, as the API server judges it.

A TokenReview says who it is, a SubjectAccessReview whether that user may `create` `workloadslos/outcomes` there: the
resource exists for RBAC rules only. Answers are remembered for a minute, refusals too; tokens only as a hash.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from flyball.cluster.client import ApiServer
from flyball.cluster.resources import GROUP, Object, Resource, dig
from flyball.core.names import WorkloadKey

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")
KEPT_SECONDS = 60.0
MOST_KEPT = 10_000
"""Answers that are remembered at a time: more are asked for again, so that no flood of tokens fills the memory."""


class Reviews:
    """Implements `flyball.core.ports.Reporters`. `clock` gives seconds that only grow."""

    def __init__(self, api: ApiServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._kept: dict[tuple[str, ...], tuple[float, Any]] = {}

    async def user(self, token: str) -> Object | None:
        """Who holds that token; None where it is not valid. Raises PortError."""
        name = ("token", hashlib.sha256(token.encode()).hexdigest())
        if name not in self._fresh():
            answer = await self._api.create(TOKEN_REVIEWS, "", {
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
            })  # fmt: skip
            known = dig(answer, "status", "user") if dig(answer, "status", "authenticated") else None
            self._keep(name, known)
        found: Object | None = self._kept[name][1]
        return found

    async def may_report(self, user: Object, workload: WorkloadKey) -> bool:
        """Whether that user may report outcomes of a workload. Raises PortError."""
        groups = sorted(user.get("groups") or ())
        name = ("access", str(user.get("username")), str(user.get("uid")), *groups, str(workload))
        if name not in self._fresh():
            answer = await self._api.create(ACCESS_REVIEWS, "", {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": user.get("username"),
                    "uid": user.get("uid"),
                    "groups": groups,
                    "extra": user.get("extra") or {},
                    "resourceAttributes": {
                        "group": GROUP, "resource": "workloadslos", "subresource": "outcomes", "verb": "create",
                        "namespace": workload.namespace, "name": workload.name,
                    },
                },
            })  # fmt: skip
            self._keep(name, bool(dig(answer, "status", "allowed")))
        return bool(self._kept[name][1])

    def _fresh(self) -> dict[tuple[str, ...], tuple[float, Any]]:
        """What is remembered, without what is too old."""
        now = self._clock()
        self._kept = {name: (at, found) for name, (at, found) in self._kept.items() if now - at < KEPT_SECONDS}
        return self._kept

    def _keep(self, name: tuple[str, ...], found: Any) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = (self._clock(), found)
