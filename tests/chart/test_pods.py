"""What runs, how it is locked down, and what it is told."""

import json

import pytest

DEPLOYMENT, JOB, TEST = "Deployment flyball", "Job flyball-restore", "Pod flyball-test"
PODS = (DEPLOYMENT, JOB, TEST)


def _environment(container):
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def test_these_are_all_the_pods(render):
    assert set(render().pod_specs()) == set(PODS)


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_is_restricted_in_the_sense_of_the_pod_security_standards(render, pod):
    spec = render().pod_specs()[pod]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "initContainers" not in spec
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert all("hostPath" not in volume for volume in spec["volumes"])


@pytest.mark.parametrize("pod", PODS)
def test_the_platform_may_choose_the_user(render, pod):
    context = render({"runAsUser": None}).pod_specs()[pod]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_has_resources_and_only_a_small_temporary_folder_to_write(render, pod):
    spec = render({"decisionRecords": {"enabled": False}}).pod_specs()[pod]
    (container,) = spec["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}]
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


CLAIM = {"persistentVolumeClaim": {"claimName": "flyball-decisions"}}


@pytest.mark.parametrize(
    ("records", "volume"),
    [
        pytest.param({}, {"emptyDir": {"sizeLimit": "84Mi"}}, id="with the pod"),
        pytest.param({"sizeMiB": 8}, {"emptyDir": {"sizeLimit": "14Mi"}}, id="a smaller bound"),
        pytest.param({"persistentVolumeClaim": {"create": True}}, CLAIM, id="on a claim of the chart"),
        pytest.param(
            {"persistentVolumeClaim": {"existingClaim": "mine"}},
            {"persistentVolumeClaim": {"claimName": "mine"}},
            id="on a claim that exists",
        ),
    ],
)
def test_decisions_are_recorded_where_it_is_wanted_with_room_to_rotate(render, records, volume):
    rendered = render({"decisionRecords": records})
    spec = rendered.pod_specs()[DEPLOYMENT]
    (container,) = spec["containers"]
    environment = _environment(container)
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "decisions"]
    assert [each for each in spec["volumes"] if each["name"] == "decisions"] == [{"name": "decisions", **volume}]
    assert mount["mountPath"] == environment["FLYBALL_RECORDS"]
    assert environment["FLYBALL_RECORDS_SIZE"] == str(records.get("sizeMiB", 64))
    assert len(rendered.all("PersistentVolumeClaim")) == (volume == CLAIM)


def test_the_claim_outlives_an_uninstall_and_holds_what_the_records_may_take(render):
    claim = {"create": True, "storageClassName": "fast", "accessMode": "ReadWriteOncePod"}
    found = render({"decisionRecords": {"persistentVolumeClaim": claim}}).one(
        "PersistentVolumeClaim", "flyball-decisions"
    )
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "84Mi"}},
    }


FILE = "/var/lib/flyball/ledger/ledger.db"
FROM_SECRET = {"secretKeyRef": {"name": "database", "key": "dsn"}}


@pytest.mark.parametrize(
    ("place", "variable", "claim"),
    [
        pytest.param({"persistentVolumeClaim": {"create": True}}, {"value": FILE}, "flyball-ledger", id="a new claim"),
        pytest.param({"persistentVolumeClaim": {"existingClaim": "mine"}}, {"value": FILE}, "mine", id="your claim"),
        pytest.param(
            {"postgresql": {"existingSecret": "database", "key": "dsn"}},
            {"valueFrom": FROM_SECRET},
            None,
            id="PostgreSQL",
        ),
    ],
)
def test_a_ledger_is_kept_where_it_outlives_the_pod(render, place, variable, claim):
    rendered = render({"ledger": {"enabled": True, "timeZone": "Europe/Berlin", **place}})
    spec = rendered.pod_specs()[DEPLOYMENT]
    (container,) = spec["containers"]
    assert {"name": "FLYBALL_LEDGER", **variable} in container["env"]
    assert {"name": "FLYBALL_LEDGER_TIMEZONE", "value": "Europe/Berlin"} in container["env"]
    assert {"name": "FLYBALL_CURRENCY", "value": "USD"} in container["env"]
    volumes = [each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if each["name"] == "ledger"]
    mounts = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "ledger"]
    assert (volumes, mounts) == (([claim], ["/var/lib/flyball/ledger"]) if claim else ([], []))
    made = rendered.all("PersistentVolumeClaim")
    assert [each["metadata"]["name"] for each in made] == (["flyball-ledger"] if claim == "flyball-ledger" else [])


def test_the_ledger_s_claim_outlives_an_uninstall(render):
    claim = {"create": True, "size": "10Gi", "storageClassName": "fast", "accessMode": "ReadWriteOncePod"}
    found = render({"ledger": {"enabled": True, "persistentVolumeClaim": claim}}).one(
        "PersistentVolumeClaim", "flyball-ledger"
    )
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "10Gi"}},
    }


def test_the_pods_of_hooks_have_no_records(render):
    specs = {name: spec for name, spec in render().pod_specs().items() if name != DEPLOYMENT}
    assert all(volume["name"] != "decisions" for spec in specs.values() for volume in spec["volumes"])


@pytest.mark.parametrize("pod", PODS)
def test_the_token_is_mounted_by_the_pod_that_needs_it_not_by_the_account(render, pod):
    rendered = render()
    spec = rendered.pod_specs()[pod]
    assert spec["automountServiceAccountToken"] is True
    assert rendered.one("ServiceAccount", spec["serviceAccountName"])["automountServiceAccountToken"] is False


@pytest.mark.parametrize("pod", PODS)
def test_every_pod_goes_where_the_operator_may_go(render, pod):
    placement = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"x": []}},
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "pull"}],
    }
    assert placement.items() <= render(placement).pod_specs()[pod].items()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param({}, "flyball:0.1.0", id="the chart's appVersion by default"),
        pytest.param({"tag": "dev"}, "flyball:dev", id="a tag"),
        pytest.param(
            {"registry": "r.example:5000", "repository": "gpu/flyball"},
            "r.example:5000/gpu/flyball:0.1.0",
            id="a registry",
        ),
        pytest.param(
            {"tag": "dev", "digest": "sha256:" + "a" * 64}, "flyball@sha256:" + "a" * 64, id="a digest wins over a tag"
        ),
    ],
)
def test_all_pods_run_one_image(render, image, expected):
    containers = [
        spec["containers"][0] for spec in render({"image": {**image, "pullPolicy": "Always"}}).pod_specs().values()
    ]
    assert {container["image"] for container in containers} == {expected}
    assert {container["imagePullPolicy"] for container in containers} == {"Always"}


def test_probes_ask_for_finished_ticks_and_for_a_synced_mirror(render):
    (container,) = render().pod_specs()[DEPLOYMENT]["containers"]
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "metrics"},
        "liveness": {"path": "/healthz", "port": "metrics"},
        "readiness": {"path": "/readyz", "port": "metrics"},
    }
    assert container["ports"] == [{"name": "metrics", "containerPort": 8080}]


@pytest.mark.parametrize(
    ("pod", "arguments"), [(DEPLOYMENT, ["run"]), (JOB, ["restore"]), (TEST, ["doctor", "--in-cluster"])]
)
def test_each_pod_runs_its_command(render, pod, arguments):
    (container,) = render().pod_specs()[pod]["containers"]
    assert container["args"] == arguments
    assert "command" not in container


def test_the_operator_is_told_the_defaults(render):
    (container,) = render().pod_specs()[DEPLOYMENT]["containers"]
    assert _environment(container) == {
        "FLYBALL_PROMETHEUS_URL": "http://prometheus.monitoring:9090",
        "FLYBALL_PROMETHEUS_TIMEOUT": "10s",
        "FLYBALL_WATCH_NAMESPACES": "",
        "FLYBALL_TICK": "15s",
        "FLYBALL_CURRENCY": "USD",
        "FLYBALL_RATE_WINDOW": "60s",
        "FLYBALL_ROUTES": "true",
        "FLYBALL_LEASE": "flyball-system/flyball",
        "FLYBALL_LEASE_SECONDS": "8",
        "FLYBALL_IDENTITY": None,
        "FLYBALL_LISTEN": "0.0.0.0:8080",
        "FLYBALL_RECORDS": "/var/lib/flyball/decisions",
        "FLYBALL_RECORDS_SIZE": "64",
        "FLYBALL_LOG_LEVEL": "info",
        "FLYBALL_LOG_FORMAT": "json",
    }


def test_values_become_environment(render):
    values = {
        "prometheus": {"url": "https://mimir/prometheus", "timeout": "5s", "headers": {"X-Scope-OrgID": 'ten"ant'}},
        "operator": {"tick": "5s", "rateWindow": "2m", "logLevel": "debug", "logFormat": "text"},
        "watchNamespaces": ["chat", "batch"],
        "fallback": {"enabled": False},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    }
    (container,) = render(values).pod_specs()[DEPLOYMENT]["containers"]
    environment = _environment(container)
    assert json.loads(environment.pop("FLYBALL_PROMETHEUS_HEADERS")) == {"X-Scope-OrgID": 'ten"ant'}
    assert environment == {
        "FLYBALL_PROMETHEUS_URL": "https://mimir/prometheus",
        "FLYBALL_PROMETHEUS_TIMEOUT": "5s",
        "FLYBALL_WATCH_NAMESPACES": "chat,batch",
        "FLYBALL_TICK": "5s",
        "FLYBALL_CURRENCY": "USD",
        "FLYBALL_RATE_WINDOW": "2m",
        "FLYBALL_ROUTES": "false",
        "FLYBALL_LEASE": "flyball-system/flyball",
        "FLYBALL_LEASE_SECONDS": "8",
        "FLYBALL_IDENTITY": None,
        "FLYBALL_LISTEN": "0.0.0.0:8080",
        "FLYBALL_RECORDS": "/var/lib/flyball/decisions",
        "FLYBALL_RECORDS_SIZE": "64",
        "FLYBALL_LOG_LEVEL": "debug",
        "FLYBALL_LOG_FORMAT": "text",
        "HTTPS_PROXY": "http://proxy:3128",
    }


@pytest.mark.parametrize("pod", [DEPLOYMENT, TEST])
@pytest.mark.parametrize(
    ("source", "volume"),
    [
        pytest.param({"existingSecret": "trust"}, {"secret": {"secretName": "trust"}}, id="CA from a Secret"),
        pytest.param({"existingConfigMap": "trust"}, {"configMap": {"name": "trust"}}, id="CA from a ConfigMap"),
    ],
)
def test_credentials_are_files_in_whole_directories(render, pod, source, volume):
    prometheus = {
        "url": "https://p",
        "bearerToken": {"existingSecret": "reader", "key": "jwt"},
        "ca": {**source, "key": "bundle"},
        "clientCertificate": {"existingSecret": "flyball-client"},
    }
    spec = render({"prometheus": prometheus}).pod_specs()[pod]
    (container,) = spec["containers"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    environment = _environment(container)

    token = next(each["secret"] for each in spec["volumes"] if each["name"] == "prometheus-token")
    assert token == {"secretName": "reader", "defaultMode": 0o440, "items": [{"key": "jwt", "path": "token"}]}
    assert environment["FLYBALL_PROMETHEUS_BEARER_TOKEN_FILE"] == f"{mounts['prometheus-token']['mountPath']}/token"

    authority = next(each for each in spec["volumes"] if each["name"] == "prometheus-ca")
    (kind,) = volume
    assert authority[kind] == volume[kind] | {"items": [{"key": "bundle", "path": "ca.crt"}]}
    assert environment["FLYBALL_PROMETHEUS_CA_FILE"] == f"{mounts['prometheus-ca']['mountPath']}/ca.crt"

    client = next(each["secret"] for each in spec["volumes"] if each["name"] == "prometheus-client")
    assert client == {"secretName": "flyball-client", "defaultMode": 0o440}
    shown = (environment[f"FLYBALL_PROMETHEUS_CLIENT_{part}_FILE"] for part in ("CERTIFICATE", "KEY"))
    assert [path.rpartition("/")[2] for path in shown] == ["tls.crt", "tls.key"]

    files = ("prometheus-token", "prometheus-ca", "prometheus-client")
    assert all(mounts[name]["readOnly"] and "subPath" not in mounts[name] for name in files)


def test_pod_labels_cannot_take_the_selector_s_place(render):
    labels = {"app.kubernetes.io/component": "mine", "team": "ml"}
    deployment = render({"podLabels": labels}).one("Deployment", "flyball")
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "ml"
