"""The agent's DaemonSet: off unless it is wanted, and then with no more rights than it takes to read GPUs and pods."""

import pytest

from flyball.cli.gpuagent import gpuagent

NAME = "flyball-gpuagent"
SERVICE_MONITOR = ("--api-versions", "monitoring.coreos.com/v1/ServiceMonitor")


@pytest.fixture
def agent(render):
    """The rendering with the agent on, and these of its values."""
    return lambda *flags, **values: render({"gpuagent": {"enabled": True, **values}}, *flags)


def _spec(rendered):
    return rendered.one("DaemonSet", NAME)["spec"]["template"]["spec"]


def _container(rendered):
    (container,) = _spec(rendered)["containers"]
    return container


def _environment(rendered):
    return {each["name"]: each.get("value") for each in _container(rendered)["env"]}


def test_it_is_off_by_default(render, agent):
    def names(rendered):
        return {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}

    added = names(agent()) - names(render())
    assert added == {(kind, NAME) for kind in ("DaemonSet", "Service", "NetworkPolicy")}


def test_it_has_no_right_on_the_cluster_and_none_on_the_node_but_to_read_a_socket(agent):
    rendered = agent()
    spec, container = _spec(rendered), _container(rendered)
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert not spec["hostPID"]
    assert not {"hostNetwork", "hostIPC", "initContainers"} & set(spec)
    # Root, because the kubelet's socket is root's; and nothing that makes root strong.
    assert spec["securityContext"] == {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    folder = "/var/lib/kubelet/pod-resources"
    assert spec["volumes"] == [{"name": "pod-resources", "hostPath": {"path": folder, "type": "Directory"}}]
    assert container["volumeMounts"] == [{"name": "pod-resources", "mountPath": folder, "readOnly": True}]
    assert container["resources"]["limits"].keys() == {"memory"}


def test_every_flyball_variable_is_an_option_of_the_command(agent):
    options = {f"FLYBALL_{parameter.name.upper()}" for parameter in gpuagent.params}
    given = {name for name in _environment(agent()) if name.startswith("FLYBALL_")}
    assert given <= options
    assert _container(agent())["args"] == ["gpuagent"]


@pytest.mark.parametrize(
    ("values", "security", "environment"),
    [
        pytest.param({}, (False, False, None), {}, id="plain"),
        pytest.param(
            {"mig": True}, (True, False, ["SYS_ADMIN"]), {"NVIDIA_MIG_MONITOR_DEVICES": "all"}, id="MIG instances"
        ),
        pytest.param({"privileged": True}, (True, True, None), {}, id="all devices of the node"),
    ],
)
def test_more_is_granted_only_where_it_is_asked_for(agent, values, security, environment):
    rendered = agent(**values)
    context = _container(rendered)["securityContext"]
    granted = (context["allowPrivilegeEscalation"], context["privileged"], context["capabilities"].get("add"))
    assert granted == security
    given = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility", **environment}
    assert {key: value for key, value in _environment(rendered).items() if key.startswith("NVIDIA_")} == given


def test_the_library_may_come_from_a_folder_of_the_node(agent):
    folder = "/home/kubernetes/bin/nvidia/lib64"
    rendered = agent(libraryDir=folder)
    (mount,) = [each for each in _container(rendered)["volumeMounts"] if each["name"] == "nvidia"]
    (volume,) = [each for each in _spec(rendered)["volumes"] if each["name"] == "nvidia"]
    assert volume["hostPath"] == {"path": folder, "type": "Directory"}
    assert (mount["mountPath"], mount["readOnly"]) == (_environment(rendered)["LD_LIBRARY_PATH"], True)


def test_it_runs_where_it_is_wanted(agent):
    tolerations = _spec(agent())["tolerations"]
    assert tolerations == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    wanted = {
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-node-critical",
        "runtimeClassName": "nvidia",
        "hostPID": True,
    }
    assert wanted.items() <= _spec(agent(**wanted)).items()


@pytest.mark.parametrize(
    ("flags", "annotated"),
    [pytest.param((), True, id="no CRD"), pytest.param(SERVICE_MONITOR, False, id="the CRD exists")],
)
def test_its_metrics_are_found_in_one_way(agent, flags, annotated):
    rendered = agent(*flags)
    annotations = rendered.one("DaemonSet", NAME)["spec"]["template"]["metadata"]["annotations"]
    expected = {"prometheus.io/scrape": "true", "prometheus.io/port": "9400", "prometheus.io/path": "/metrics"}
    found = {key: value for key, value in annotations.items() if key.startswith("prometheus.io/")}
    assert found == (expected if annotated else {})
    monitors = {each["metadata"]["name"]: each["spec"] for each in rendered.all("ServiceMonitor")}
    assert (NAME in monitors) is not annotated
    if not annotated:
        service = rendered.one("Service", NAME)
        assert monitors[NAME]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert service["spec"]["ports"][0]["name"] == monitors[NAME]["endpoints"][0]["port"]


def test_its_objects_select_its_pods_and_no_others(agent):
    rendered = agent()
    labels = rendered.one("DaemonSet", NAME)["spec"]["template"]["metadata"]["labels"]
    operator = rendered.one("Deployment", "flyball")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        rendered.one("DaemonSet", NAME)["spec"]["selector"]["matchLabels"],
        rendered.one("Service", NAME)["spec"]["selector"],
        rendered.one("NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= operator.items()
    assert not rendered.one("Service", "flyball-metrics")["spec"]["selector"].items() <= labels.items()


def test_it_may_be_read_and_may_call_nobody(agent):
    spec = agent().one("NetworkPolicy", NAME)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    assert spec["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]}]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"interval": "500ms"}, "interval", id="sweeps without a pause"),
        pytest.param({"podResourcesDir": "var/lib"}, "podResourcesDir", id="a relative folder"),
        pytest.param({"libraryDir": "lib64"}, "libraryDir", id="a relative folder of libraries"),
        pytest.param({"hostIPC": True}, "hostIPC", id="a right that it has no use for"),
    ],
)
def test_a_wrong_value_is_refused_by_name(agent, refused, values, named):
    with pytest.raises(refused) as refusal:
        agent(**values)
    assert named in refusal.value.text
