"""Who may reach Flyball and what it may reach: metrics, NetworkPolicy, and the disruption budget beside them."""

import pytest

SERVICE_MONITOR = ("--api-versions", "monitoring.coreos.com/v1/ServiceMonitor")


def _annotations(rendered):
    return rendered.one("Deployment", "flyball")["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("metrics", "flags", "monitored", "annotated"),
    [
        pytest.param({}, (), False, True, id="no CRD: annotations only"),
        pytest.param({}, SERVICE_MONITOR, True, False, id="the CRD exists: a ServiceMonitor, and no second scrape"),
        pytest.param(
            {"serviceMonitor": {"enabled": False}},
            SERVICE_MONITOR,
            False,
            True,
            id="the CRD exists but it is switched off",
        ),
        pytest.param({"scrapeAnnotations": False}, (), False, False, id="neither"),
        pytest.param(
            {}, ("--api-versions", "monitoring.coreos.com/v1/PodMonitor"), False, True, id="another CRD of that group"
        ),
    ],
)
def test_metrics_are_found_in_one_way(render, metrics, flags, monitored, annotated):
    rendered = render({"metrics": metrics}, *flags)
    assert bool(rendered.all("ServiceMonitor")) is monitored
    annotations = {key: value for key, value in _annotations(rendered).items() if key.startswith("prometheus.io/")}
    expected = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"}
    assert annotations == (expected if annotated else {})


def test_service_and_monitor_select_the_operator_and_not_the_jobs(render):
    values = {"metrics": {"serviceMonitor": {"interval": "30s", "labels": {"release": "kube-prometheus-stack"}}}}
    rendered = render(values, *SERVICE_MONITOR)
    service = rendered.one("Service", "flyball-metrics")
    monitor = rendered.one("ServiceMonitor", "flyball")
    pod_labels = rendered.one("Deployment", "flyball")["spec"]["template"]["metadata"]["labels"]
    job_labels = rendered.one("Job", "flyball-restore")["spec"]["template"]["metadata"]["labels"]
    selector = service["spec"]["selector"]
    assert selector.items() <= pod_labels.items()
    assert not selector.items() <= job_labels.items()
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "30s"}]
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_by_default_only_the_metrics_port_is_open_and_egress_is_free(render):
    spec = render().one("NetworkPolicy", "flyball")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]}]
    assert "egress" not in spec


def test_the_policy_covers_every_pod_of_the_release(render):
    rendered = render()
    selector = rendered.one("NetworkPolicy", "flyball")["spec"]["podSelector"]["matchLabels"]
    labels = [
        rendered.one("Deployment", "flyball")["spec"]["template"]["metadata"]["labels"],
        rendered.one("Job", "flyball-restore")["spec"]["template"]["metadata"]["labels"],
        rendered.one("Pod", "flyball-test")["metadata"]["labels"],
    ]
    assert all(selector.items() <= each.items() for each in labels)


@pytest.mark.parametrize(
    ("url", "ports", "expected"),
    [
        pytest.param("http://prometheus:9090", [], [9090], id="the port of the URL"),
        pytest.param("http://prometheus/prefix", [], [80], id="http without a port"),
        pytest.param("https://prometheus", [], [443], id="https without a port"),
        pytest.param("https://[fd00::1]:9091/x", [], [9091], id="an IPv6 address with a port"),
        pytest.param("http://prometheus", [9090], [9090], id="the pods' port where it is given"),
    ],
)
def test_egress_reaches_dns_the_api_server_and_prometheus(render, url, ports, expected):
    egress = {"enabled": True, "prometheusPorts": ports}
    spec = render({"prometheus": {"url": url}, "networkPolicy": {"egress": egress}}).one("NetworkPolicy", "flyball")[
        "spec"
    ]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    dns, api_server, prometheus = spec["egress"]
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert api_server == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}
    assert prometheus == {"ports": [{"port": port, "protocol": "TCP"} for port in expected]}


def test_egress_can_be_narrowed_to_addresses(render):
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    narrow = {"apiServerCIDRs": ["10.96.0.1/32"], "apiServerPorts": [6443], "prometheusTo": peers, "dnsPorts": [5353]}
    egress = {"enabled": True, **narrow}
    dns, api_server, prometheus = render({"networkPolicy": {"egress": egress}}).one("NetworkPolicy", "flyball")["spec"][
        "egress"
    ]
    assert dns == {"ports": [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]}
    assert api_server == {"ports": [{"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}]}
    assert prometheus["to"] == peers


@pytest.mark.parametrize("peers", [[], [{"podSelector": {"matchLabels": {"app": "postgresql"}}}]])
def test_egress_reaches_the_ledger_s_postgresql_where_it_has_one(render, peers):
    ledger = {"enabled": True, "postgresql": {"existingSecret": "ledger"}}
    egress = {"enabled": True, "postgresqlPorts": [6432], "postgresqlTo": peers}
    spec = render({"ledger": ledger, "networkPolicy": {"egress": egress}}).one("NetworkPolicy", "flyball")["spec"]
    assert spec["egress"][3] == {"ports": [{"port": 6432, "protocol": "TCP"}]} | ({"to": peers} if peers else {})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param(
            {"networkPolicy": {"enabled": False}}, "NetworkPolicy", id="no NetworkPolicy when it is switched off"
        ),
        pytest.param({}, "PodDisruptionBudget", id="no PodDisruptionBudget unless it is wanted"),
    ],
)
def test_a_part_is_absent(render, values, kind):
    assert render(values).all(kind) == []


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_disruption_budget_covers_the_operator_and_never_a_broken_one(render, allowed):
    rendered = render({"podDisruptionBudget": {"enabled": True, "maxUnavailable": allowed}})
    spec = rendered.one("PodDisruptionBudget", "flyball")["spec"]
    assert spec["maxUnavailable"] == allowed
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert spec["selector"] == rendered.one("Deployment", "flyball")["spec"]["selector"]
