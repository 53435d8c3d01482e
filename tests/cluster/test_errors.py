"""What the API server's refusals become, and whether they say what to change."""

import json

import pytest

from flyball.cluster.errors import Call, Expired, Unprocessable, error_of
from flyball.cluster.resources import DEPLOYMENTS, NODES
from flyball.core.ports import Conflict, Missing, PortError, Rejected, Unavailable

SCALE = Call("patch", DEPLOYMENTS, "shop", "chat", "scale")
DENIED = {"message": 'deployments is forbidden: User "system:serviceaccount:flyball:flyball" cannot patch resource'}
TERMINATING = {"message": "no", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        pytest.param(400, {"message": "bad"}, Rejected, "bad", id="bad request"),
        pytest.param(401, {}, Unavailable, "token", id="credentials refused"),
        pytest.param(
            403, DENIED, Rejected, "'patch' on 'deployments/scale' in API group 'apps' in namespace shop", id="RBAC"
        ),
        pytest.param(
            403, {"message": "exceeded quota"}, Rejected, "chat in namespace shop: exceeded quota", id="a quota"
        ),
        pytest.param(403, TERMINATING, Missing, "no", id="the namespace is being deleted"),
        pytest.param(404, {"message": "gone"}, Missing, "gone", id="not found"),
        pytest.param(409, {"message": "modified"}, Conflict, "modified", id="conflict"),
        pytest.param(410, {}, Expired, "410", id="the page is too old"),
        pytest.param(413, {}, Rejected, "413", id="too large"),
        pytest.param(422, {"message": "invalid"}, Unprocessable, "invalid", id="invalid"),
        pytest.param(429, {"message": "slow down"}, Unavailable, "429: slow down", id="throttled"),
        pytest.param(500, {"message": "etcd"}, Unavailable, "500: etcd", id="broken"),
        pytest.param(503, {}, Unavailable, "503", id="starting"),
    ],
)
def test_error_of(status: int, body: dict[str, object], error: type[PortError], text: str) -> None:
    found = error_of(SCALE, status, json.dumps(body).encode())
    assert type(found) is error
    assert text in str(found)
    assert str(found).startswith("patch deployments/scale chat in namespace shop: ")


@pytest.mark.parametrize(
    "body", [b"<html>bad gateway</html>", b"", b"[]", b"\xff"], ids=["html", "empty", "list", "binary"]
)
def test_bodies_that_are_no_status(body: bytes) -> None:
    assert isinstance(error_of(SCALE, 502, body), Unavailable)


def test_cluster_wide_rights_are_named_as_such() -> None:
    text = str(error_of(Call("list", NODES), 403, json.dumps(DENIED).encode()))
    rule = "grant verb 'list' on 'nodes' in API group '' cluster-wide"
    assert text == f"list nodes: forbidden to system:serviceaccount:flyball:flyball; {rule}"
