"""What `helm uninstall` and `helm test` run, in which order, and that they leave nothing behind."""

import pytest

HOOK, WEIGHT, POLICY = "helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy"


def _hooks(rendered, event):
    return [each for each in rendered.objects if each["metadata"].get("annotations", {}).get(HOOK) == event]


@pytest.mark.parametrize(
    "watched", [pytest.param([], id="cluster-wide"), pytest.param(["chat", "batch"], id="two namespaces")]
)
@pytest.mark.parametrize(
    ("event", "runner"), [pytest.param("pre-delete", "Job", id="uninstall"), pytest.param("test", "Pod", id="test")]
)
def test_rights_come_before_what_runs_and_all_of_it_goes_afterwards(render, event, runner, watched):
    hooks = _hooks(render({"watchNamespaces": watched}), event)
    assert [each["kind"] for each in hooks].count(runner) == 1
    weights = {}
    for each in hooks:
        annotations = each["metadata"]["annotations"]
        assert annotations[POLICY] == "before-hook-creation,hook-succeeded"
        weights.setdefault(each["kind"], set()).add(int(annotations[WEIGHT]))
    (runs_at,) = weights.pop(runner)
    accounts_and_roles = {weight for kind in weights if not kind.endswith("Binding") for weight in weights[kind]}
    bindings = {weight for kind in weights if kind.endswith("Binding") for weight in weights[kind]}
    assert max(accounts_and_roles) < min(bindings) <= max(bindings) < runs_at


@pytest.mark.parametrize(
    ("event", "account"),
    [pytest.param("pre-delete", "flyball-restore", id="uninstall"), pytest.param("test", "flyball-test", id="test")],
)
def test_a_hook_needs_nothing_of_the_release_itself(render, event, account):
    hooks = _hooks(render(), event)
    (spec,) = (
        each["spec"]["template"]["spec"] if each["kind"] == "Job" else each["spec"]
        for each in hooks
        if each["kind"] in ("Job", "Pod")
    )
    names = {(each["kind"], each["metadata"]["name"]) for each in hooks}
    assert spec["serviceAccountName"] == account
    assert ("ServiceAccount", account) in names
    bindings = [each for each in hooks if each["kind"].endswith("Binding")]
    assert bindings
    for binding in bindings:
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in names
        assert [subject["name"] for subject in binding["subjects"]] == [account]
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}]


def test_nothing_else_is_a_hook(render):
    rendered = render()
    hooks = [*_hooks(rendered, "pre-delete"), *_hooks(rendered, "test")]
    others = [
        each for each in rendered.objects if HOOK in each["metadata"].get("annotations", {}) and each not in hooks
    ]
    assert others == []
    assert {"Deployment", "ServiceAccount", "Service"} <= {
        each["kind"] for each in rendered.objects if each not in hooks
    }


def test_restoring_gives_up_before_helm_does_and_shows_its_log(render):
    job = render().one("Job", "flyball-restore")
    helm_s_own_timeout_seconds = 300
    assert job["spec"]["activeDeadlineSeconds"] < helm_s_own_timeout_seconds
    assert job["spec"]["backoffLimit"] == 3
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed"


def test_restoring_knows_which_operator_to_stop_and_needs_no_prometheus(render):
    job = render({"fullnameOverride": "governor", "watchNamespaces": ["chat"]}, namespace="ops").one(
        "Job", "governor-restore"
    )
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {variable["name"]: variable["value"] for variable in container["env"]} == {
        "FLYBALL_STOP_OPERATOR": "ops/governor",
        "FLYBALL_WATCH_NAMESPACES": "chat",
        "FLYBALL_LOG_LEVEL": "info",
        "FLYBALL_LOG_FORMAT": "json",
    }


def test_restoring_can_be_left_to_the_user(render):
    assert _hooks(render({"restore": {"onUninstall": False}}), "pre-delete") == []


def test_without_rbac_the_hooks_keep_their_service_accounts(render):
    rendered = render({"rbac": {"create": False}})
    assert {each["kind"] for each in _hooks(rendered, "pre-delete")} == {"ServiceAccount", "Job"}
    assert {each["kind"] for each in _hooks(rendered, "test")} == {"ServiceAccount", "Pod"}
