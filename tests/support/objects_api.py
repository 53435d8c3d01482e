"""Objects on a real API server, without starting a kubectl for each: that takes most of what such a test takes.

Requests are what kubectl sends: its field managers, and fields validated strictly.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
import yaml

if TYPE_CHECKING:
    from flyball_cluster import ApiServer

Object = dict[str, Any]
SECONDS = 120.0
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_MERGE_PATCH = "application/merge-patch+json"
_READS = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object as the API server serves it; `names` are all that kubectl takes for it."""

    group: str
    version: str
    plural: str
    names: frozenset[str]
    namespaced: bool

    def path(self, namespace: str, *more: str) -> str:
        """The path of a collection, or with `more` of an object and its subresource."""
        root = ["apis", self.group] if self.group else ["api"]
        space = ["namespaces", namespace] if self.namespaced else []
        return "/" + "/".join([*root, self.version, *space, self.plural, *(part for part in more if part)])


class ObjectsApi:
    """The administrator's requests to an API server; each that is refused is an AssertionError with its reason."""

    def __init__(self, server: "ApiServer") -> None:
        authority = server.control_plane.authority
        admin = authority.issue("admin", "flyball-admin", "system:masters")
        self._url = server.url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authority.pair.certificate)
        self._session.cert = (str(admin.certificate), str(admin.key))
        self._kinds: list[Kind] = []

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def create(self, found: Object, namespace: str) -> None:
        """Create an object."""
        path = self._kind_of(found).path(found["metadata"].get("namespace", namespace))
        created = self._send("POST", path, found, {"fieldManager": "kubectl-create", "fieldValidation": "Strict"})
        if created["metadata"].get("name"):  # a review is answered and not kept
            self._await_memory(f"{path}/{created['metadata']['name']}", created)

    def write_status(self, found: Object, namespace: str) -> None:
        """Give an object the status that it carries."""
        metadata = found["metadata"]
        path = self._kind_of(found).path(metadata.get("namespace", namespace), metadata["name"])
        self._merge(path, {"status": found["status"]}, "/status")

    def patch(self, kind: str, name: str, body: Object, namespace: str) -> None:
        """Merge-patch an object."""
        self._merge(self._kind(kind).path(namespace, name), body)

    def get(self, kind: str, name: str, namespace: str) -> Object:
        """An object."""
        return self._send("GET", self._kind(kind).path(namespace, name))

    def get_all(self, kind: str, namespace: str) -> list[Object]:
        """All objects of a kind in a namespace."""
        found: list[Object] = self._send("GET", self._kind(kind).path(namespace))["items"]
        return found

    def dry_run(self, manifest: str, namespace: str = "default") -> requests.Response:
        """What the API server makes of a manifest as it is written, without keeping it."""
        path = self._kind_of(yaml.safe_load(manifest)).path(namespace)
        return self._session.post(
            self._url + path,
            data=manifest.encode(),
            headers={"Content-Type": "application/yaml"},
            params={"dryRun": "All", "fieldManager": "kubectl-create", "fieldValidation": "Strict"},
            timeout=SECONDS,
        )

    def send_as(
        self, user: str, method: str, found: Object, namespace: str, *, subresource: str = "", dry_run: bool = False
    ) -> requests.Response:
        """What the API server answers a user who may do what RBAC grants: POST creates, PATCH merges `found`."""
        kind = self._kind_of(found)
        more = () if method == "POST" else (found["metadata"]["name"], subresource)
        return self._session.request(
            method,
            self._url + kind.path(found["metadata"].get("namespace", namespace), *more),
            json=found,
            headers={
                "Impersonate-User": user,
                "Content-Type": "application/json" if method == "POST" else _MERGE_PATCH,
            },
            params={"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {}),
            timeout=SECONDS,
        )

    def _merge(self, path: str, body: Object, subresource: str = "") -> None:
        query = {"fieldManager": "kubectl-patch", "fieldValidation": "Strict"}
        self._await_memory(path, self._send("PATCH", path + subresource, body, query, _MERGE_PATCH))

    def _await_memory(self, path: str, written: Object) -> None:
        """Wait until what the API server answers out of its memory, as Flyball asks it to, holds what was written."""
        query = {"resourceVersion": written["metadata"]["resourceVersion"]}
        for _ in range(_READS):  # each waits some seconds, and is refused where its memory is still behind
            answer = self._session.get(self._url + path, params=query, timeout=SECONDS)
            if answer.ok:
                return
            assert answer.status_code in (404, 429, 504), f"GET {path}: {answer.text}"
            time.sleep(0.05)
        raise AssertionError(f"GET {path}: {answer.text}")

    def _send(
        self, method: str, path: str, body: Object | None = None, query: dict[str, str] | None = None,
        content_type: str = "application/json", accept: str = "application/json",
    ) -> Object:  # fmt: skip
        headers = {"Content-Type": content_type, "Accept": accept}
        answer = self._session.request(
            method, self._url + path, json=body, params=query, headers=headers, timeout=SECONDS
        )
        assert answer.ok, f"{method} {path}: {answer.text}"
        found: Object = answer.json()
        return found

    def _kind_of(self, found: Object) -> Kind:
        group, _, version = found["apiVersion"].rpartition("/")
        return self._kind(f"{found['kind']}.{version}.{group}".rstrip("."))

    def _kind(self, text: str) -> Kind:
        """The kind that kubectl means by `deployment`, `wslo` or `events.v1.events.k8s.io`."""
        name, _, of = text.lower().partition(".")
        for _ in range(2):  # what is not known may have been installed since
            for kind in self._kinds:
                if name in kind.names and of in ("", f"{kind.version}.{kind.group}".rstrip(".")):
                    return kind
            self._kinds = self._discover()
        raise AssertionError(f"the API server serves no {text}")

    def _discover(self) -> list[Kind]:
        return [
            Kind(
                group["metadata"].get("name", ""),
                version["version"],
                resource["resource"],
                frozenset(
                    name.lower()
                    for name in (
                        resource["resource"],
                        resource["singularResource"],
                        resource["responseKind"]["kind"],
                        *resource.get("shortNames", ()),
                    )
                ),
                resource["scope"] == "Namespaced",
            )
            for root in ("/api", "/apis")
            for group in self._send("GET", root, accept=_DISCOVERY)["items"]
            for version in group["versions"]
            for resource in version["resources"]
        ]
