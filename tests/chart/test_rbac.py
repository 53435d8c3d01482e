"""The rights that the chart grants are exactly those of docs/security/rbac.md, in the narrowest scope."""

import re

import pytest

FORBIDDEN_VERBS = {"*", "delete", "deletecollection", "escalate", "bind", "impersonate"}


def _grants(rules):
    """Rules as (group, resource) → verbs; each may be granted in one rule only."""
    grants = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in grants, f"{group}/{resource} is granted twice"
                grants[group, resource] = set(rule["verbs"])
    return grants


@pytest.fixture
def documented(repository):
    """The tables of docs/security/rbac.md: by name, (group, resource) → verbs, less what is switched off."""
    text = (repository / "docs" / "security" / "rbac.md").read_text()

    def table(name, *, fallback=True, discovery=False, ledger=False):
        section = text.split(f"<!-- rules: {name} -->")[1].lstrip()
        rows = [line.split("|")[1:-1] for line in section.split("\n\n")[0].splitlines()[2:]]
        grants = {}
        for group, resource, verbs, why in rows:
            given = {"*fallback*": fallback, "*discovery*": discovery, "*ledger*": ledger}
            if all(on or flag not in why for flag, on in given.items()):
                grants.setdefault((group.strip(), resource.strip()), set()).update(re.split(r",\s*", verbs.strip()))
        return grants

    return table


@pytest.mark.parametrize(
    "fallback", [pytest.param(True, id="with fallback"), pytest.param(False, id="without fallback")]
)
def test_cluster_wide_all_rights_are_one_cluster_role(render, documented, fallback):
    rendered = render({"fallback": {"enabled": fallback}})
    grants = _grants(rendered.one("ClusterRole", "flyball-system-flyball")["rules"])
    assert grants == documented("workloads", fallback=fallback) | documented("cluster")
    assert ("gateway.networking.k8s.io", "httproutes") not in grants or fallback


@pytest.mark.parametrize(
    "fallback", [pytest.param(True, id="with fallback"), pytest.param(False, id="without fallback")]
)
def test_with_watched_namespaces_only_reading_prices_and_nodes_is_cluster_wide(render, documented, fallback):
    rendered = render({"fallback": {"enabled": fallback}, "watchNamespaces": ["chat", "batch"]})
    assert _grants(rendered.one("ClusterRole", "flyball-system-flyball")["rules"]) == documented("cluster")
    for namespace in ("chat", "batch"):
        role = rendered.one("Role", "flyball", namespace)
        assert _grants(role["rules"]) == documented("workloads", fallback=fallback)
    bound = {each["metadata"]["name"] for each in rendered.all("ClusterRoleBinding")}
    assert bound == {"flyball-system-flyball"}


@pytest.mark.parametrize(
    "fallback", [pytest.param(True, id="with fallback"), pytest.param(False, id="also without fallback")]
)
@pytest.mark.parametrize(
    ("watched", "kind", "name", "namespace"),
    [
        pytest.param([], "ClusterRole", "flyball-system-flyball-restore", None, id="cluster-wide"),
        pytest.param(["chat"], "Role", "flyball-restore", "chat", id="in a watched namespace"),
    ],
)
def test_restoring_may_do_what_is_documented(render, documented, watched, kind, name, namespace, fallback):
    rendered = render({"watchNamespaces": watched, "fallback": {"enabled": fallback}})
    assert _grants(rendered.one(kind, name, namespace)["rules"]) == documented("restore")
    stop = rendered.one("Role", "flyball-restore-stop", "flyball-system")["rules"]
    assert _grants(stop) == documented("stop")
    assert [rule["resourceNames"] for rule in stop if rule["resources"] == ["deployments/scale"]] == [["flyball"]]


@pytest.mark.parametrize("watched", [pytest.param([], id="cluster-wide"), pytest.param(["chat"], id="one namespace")])
def test_nodes_are_listed_only_where_pools_may_count_them(render, documented, watched):
    for discovery in (False, True):
        rendered = render({"gpuPools": {"discovery": discovery}, "watchNamespaces": watched})
        grants = _grants(rendered.one("ClusterRole", "flyball-system-flyball")["rules"])
        assert ("list" in grants["", "nodes"]) is discovery
        for right, verbs in documented("cluster", discovery=discovery).items():
            assert grants[right] == verbs


def test_the_release_s_own_namespace_may_be_watched(render, documented):
    rendered = render({"watchNamespaces": ["flyball-system"]})
    assert _grants(rendered.one("Role", "flyball", "flyball-system")["rules"]) == documented("workloads")
    assert _grants(rendered.one("Role", "flyball-restore", "flyball-system")["rules"]) == documented("restore")
    assert _grants(rendered.one("Role", "flyball-restore-stop", "flyball-system")["rules"]) == documented("stop")


def test_the_helm_test_may_only_create_workloadslos(render, documented):
    assert _grants(render().one("Role", "flyball-test", "flyball-system")["rules"]) == documented("test")


@pytest.mark.parametrize("watched", [pytest.param([], id="cluster-wide"), pytest.param(["chat"], id="one namespace")])
def test_no_service_account_gets_more_than_it_could_need(render, watched):
    rendered = render({"watchNamespaces": watched})
    roles = {
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in rendered.objects
    }
    bindings = [*rendered.all("ClusterRoleBinding"), *rendered.all("RoleBinding")]
    assert bindings
    for binding in bindings:
        kind = binding["roleRef"]["kind"]
        role = roles[kind, binding["metadata"].get("namespace"), binding["roleRef"]["name"]]
        for rule in role["rules"]:
            assert not FORBIDDEN_VERBS & set(rule["verbs"])
            assert not {"secrets", "configmaps", "*"} & set(rule["resources"])
            assert "*" not in rule["apiGroups"]


def test_every_binding_names_a_service_account_of_the_release(render):
    rendered = render({"watchNamespaces": ["chat"]})
    accounts = {(each["metadata"]["name"], each["metadata"]["namespace"]) for each in rendered.all("ServiceAccount")}
    assert accounts == {(name, "flyball-system") for name in ("flyball", "flyball-restore", "flyball-test")}
    for binding in [*rendered.all("ClusterRoleBinding"), *rendered.all("RoleBinding")]:
        assert [(subject["name"], subject["namespace"]) in accounts for subject in binding["subjects"]] == [True]


def test_other_kinds_of_targets_get_the_rights_of_deployments(render):
    group, resource = "leaderworkerset.x-k8s.io", "leaderworkersets"
    rendered = render({"rbac": {"targets": [{"apiGroup": group, "resource": resource}]}})
    grants = _grants(rendered.one("ClusterRole", "flyball-system-flyball")["rules"])
    assert grants[group, resource] == {"list", "patch"}
    assert grants[group, f"{resource}/scale"] == {"get", "patch"}
    assert ("apps", "deployments") not in grants
    assert (group, resource) in _grants(rendered.one("ClusterRole", "flyball-system-flyball-restore")["rules"])


def test_with_a_ledger_it_may_ask_who_pushes_outcomes(render, documented):
    rendered = render({"ledger": {"enabled": True, "persistentVolumeClaim": {"create": True}}})
    grants = _grants(rendered.one("ClusterRole", "flyball-system-flyball")["rules"])
    assert grants == documented("workloads") | documented("cluster", ledger=True)
    assert grants["authentication.k8s.io", "tokenreviews"] == {"create"}


def test_people_s_roles_are_aggregated(render):
    rendered = render()
    view = rendered.one("ClusterRole", "flyball-system-flyball-view")
    edit = rendered.one("ClusterRole", "flyball-system-flyball-edit")
    aggregate = "rbac.authorization.k8s.io/aggregate-to-{}"
    assert _grants(view["rules"]) == {
        ("flyball.dev", kind): {"get", "list", "watch"}
        for kind in ("workloadslos", "pricebooks", "gpupools", "budgets", "demandevents", "roiexperiments")
    }
    changing = {"create", "update", "patch", "delete", "deletecollection"}
    assert _grants(edit["rules"]) == {
        ("flyball.dev", "workloadslos"): changing,
        ("flyball.dev", "demandevents"): changing,
        ("flyball.dev", "roiexperiments"): changing,
        ("flyball.dev", "promql"): {"use"},
        ("flyball.dev", "workloadslos/outcomes"): {"create"},
    }
    assert all(view["metadata"]["labels"][aggregate.format(role)] == "true" for role in ("view", "edit", "admin"))
    assert aggregate.format("view") not in edit["metadata"]["labels"]
    assert all(edit["metadata"]["labels"][aggregate.format(role)] == "true" for role in ("edit", "admin"))


def test_queries_can_be_left_to_whom_they_are_granted(render):
    edit = render({"rbac": {"aggregatePromQL": False}}).one("ClusterRole", "flyball-system-flyball-edit")
    assert ("flyball.dev", "promql") not in _grants(edit["rules"])


def test_aggregation_can_be_left_out(render):
    names = {each["metadata"]["name"] for each in render({"rbac": {"aggregateRoles": False}}).all("ClusterRole")}
    assert names == {"flyball-system-flyball", "flyball-system-flyball-restore"}


def test_without_rbac_no_role_is_rendered(render):
    rendered = render({"rbac": {"create": False}, "watchNamespaces": ["chat"]})
    assert [each for each in rendered.objects if each["kind"].endswith(("Role", "RoleBinding"))] == []


def test_two_releases_of_one_name_share_no_cluster_role(render):
    names = [
        {
            each["metadata"]["name"]
            for each in render(namespace=namespace).objects
            if each["kind"].startswith("ClusterRole")
        }
        for namespace in ("team-a", "team-b")
    ]
    assert names[0]
    assert not names[0] & names[1]
