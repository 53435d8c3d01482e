"""Several replicas: one acts, by a Lease, and the API server itself refuses the others' writes."""

import time
from typing import Any

import pytest
import yaml
from support.api_server import Kubectl

TWO = {"replicaCount": 2}
FILE = {"enabled": True, "persistentVolumeClaim": {"create": True}}
DATABASE = {"enabled": True, "postgresql": {"existingSecret": "ledger"}}
POLICY = "ValidatingAdmissionPolicy"


def _grants(rules):
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def test_every_replica_wants_the_lease_of_the_release_under_its_own_name(render):
    rendered = render({**TWO, "leaderElection": {"leaseSeconds": 5}}, namespace="platform")
    (container,) = rendered.pod_specs()["Deployment flyball"]["containers"]
    environment = {variable["name"]: variable for variable in container["env"]}
    assert environment["FLYBALL_LEASE"]["value"] == "platform/flyball"
    assert environment["FLYBALL_LEASE_SECONDS"]["value"] == "5"
    assert environment["FLYBALL_IDENTITY"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_the_lease_may_be_created_and_only_this_one_read_and_written(render):
    rendered = render()
    rules = [
        rule
        for name in ("flyball-lease", "flyball-lease-create")
        for rule in rendered.one("Role", name, "flyball-system")["rules"]
    ]
    group = "coordination.k8s.io"
    assert _grants(rules) == {
        (group, "leases", "flyball", "get"),
        (group, "leases", "flyball", "patch"),
        (group, "leases", "", "create"),
    }


def test_the_right_to_the_lease_is_documented(render, repository):
    page = (repository / "docs" / "security" / "rbac.md").read_text()
    assert "| coordination.k8s.io | leases | create, get, patch |" in page.split("<!-- rules: lease -->")[1]


@pytest.mark.parametrize(
    ("values", "strategy"),
    [
        pytest.param({}, {"type": "Recreate"}, id="one: a claim is mounted once"),
        pytest.param(
            TWO, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}, id="several"
        ),
    ],
)
def test_replicas_and_how_they_are_replaced(render, values, strategy):
    spec = render(values).one("Deployment", "flyball")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (values.get("replicaCount", 1), strategy)


def test_several_replicas_prefer_different_nodes_and_are_not_drained_at_once(render):
    rendered = render(TWO)
    spec = rendered.one("Deployment", "flyball")["spec"]
    (term,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"] == spec["selector"]
    assert rendered.one("PodDisruptionBudget", "flyball")["spec"]["maxUnavailable"] == 1
    assert "affinity" not in render().one("Deployment", "flyball")["spec"]["template"]["spec"]


def test_an_affinity_of_the_user_s_own_stands(render):
    affinity = {"nodeAffinity": {}}
    spec = render({**TWO, "affinity": affinity}).one("Deployment", "flyball")["spec"]["template"]["spec"]
    assert spec["affinity"] == affinity


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"ledger": FILE}, "ledger.postgresql.existingSecret", id="a ledger in a file"),
        pytest.param(
            {"decisionRecords": {"persistentVolumeClaim": {"create": True}}},
            "decisionRecords.persistentVolumeClaim",
            id="records on a claim",
        ),
    ],
)
def test_what_only_one_pod_can_have_is_refused_for_several(render, refused, values, named):
    render(values)
    with pytest.raises(refused) as found:
        render({**TWO, **values})
    assert "replicaCount is above 1" in found.value.text
    assert named in found.value.text


def test_several_replicas_keep_one_ledger_in_postgresql_or_none(render):
    render({**TWO, "ledger": DATABASE})
    render({**TWO, "ledger": {"enabled": False, "persistentVolumeClaim": {"create": True}}})


def test_the_fence_can_be_left_out_and_blocks_nobody_else(render):
    policy = render({"leaderElection": {"fence": True}}).one(POLICY, "flyball-system-flyball-lease")["spec"]
    assert policy["failurePolicy"] == "Ignore"
    assert "system:serviceaccount:flyball-system:flyball" in policy["matchConditions"][0]["expression"]
    names = [found["metadata"]["name"] for found in render().all(POLICY)]
    assert "flyball-system-flyball-lease" not in names


@pytest.mark.api_server
@pytest.mark.timeout(1800)
def test_the_api_server_refuses_writes_of_a_pod_that_does_not_hold_the_lease(kubectl: Kubectl, render: Any) -> None:
    rendered = render({"leaderElection": {"fence": True}}, namespace=kubectl.namespace)
    parts = [
        found
        for found in rendered.objects
        if found["kind"].endswith(("Role", "RoleBinding")) or found["metadata"]["name"].endswith("-lease")
    ]
    text = yaml.safe_dump_all(parts)
    kubectl("apply", "--filename=-", text=text)
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "flyball"}}
    account = f"--serviceaccount={kubectl.namespace}:flyball"
    kubectl("create", "rolebinding", "any", "--clusterrole=cluster-admin", account)
    kubectl.create({**lease, "spec": {"holderIdentity": "flyball-1_abc", "leaseDurationSeconds": 8}})
    write = ["create", "configmap", "any", "--dry-run=server"]
    account = f"--as=system:serviceaccount:{kubectl.namespace}:flyball"

    def refusal(pod: str) -> str:
        try:
            kubectl(*write, account, f"--as-user-extra=authentication.kubernetes.io/pod-name={pod}")
        except AssertionError as error:
            return str(error)
        return ""

    try:
        deadline = time.monotonic() + 120
        while "does not hold the Lease" not in refusal("flyball-2"):  # a new policy is heeded a moment later
            assert time.monotonic() < deadline
        assert refusal("flyball-1") == ""
        assert "does not hold the Lease" in refusal("flyball-10"), "a name that begins with another one's"
        kubectl(*write)
        kubectl("patch", "lease", "flyball", "--type=merge", "-p", '{"spec":{"holderIdentity":"flyball-2_abc"}}')
        deadline = time.monotonic() + 120
        while refusal("flyball-2"):
            assert time.monotonic() < deadline
        assert "does not hold the Lease" in refusal("flyball-1")
        kubectl("delete", "lease", "flyball")
        deadline = time.monotonic() + 120
        while refusal("flyball-1"):
            assert time.monotonic() < deadline, "without a Lease nobody is held up"
    finally:
        kubectl("delete", "--ignore-not-found", "--filename=-", text=text)
