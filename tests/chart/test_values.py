"""What the chart refuses, in words that name the value; and that every value is described."""

import json
import re

import pytest
import yaml


def _prometheus(**more):
    return {"prometheus": {"url": "http://p:9090", **more}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"prometheus": {"url": ""}}, r"prometheus\.url is required.*--set prometheus\.url=", id="no Prometheus"
        ),
        pytest.param(
            {"prometheus": {"url": "prometheus:9090"}}, r"/prometheus/url|prometheus\.url", id="a URL without scheme"
        ),
        pytest.param({"prometheus": {"url": 9090}}, r"/prometheus/url|prometheus\.url", id="a number as URL"),
        pytest.param(
            _prometheus(timeout="10"), r"/prometheus/timeout|prometheus\.timeout", id="a duration without unit"
        ),
        pytest.param(_prometheus(timeout="0s"), r"/prometheus/timeout|prometheus\.timeout", id="a timeout of nothing"),
        pytest.param(_prometheus(urll="http://p"), "urll", id="a misspelt key of prometheus"),
        pytest.param(
            _prometheus(headers={"authorization": "Bearer x"}),
            r"prometheus\.bearerToken\.existingSecret",
            id="a secret as header",
        ),
        pytest.param(
            _prometheus(ca={"existingSecret": "a", "existingConfigMap": "b"}),
            r"prometheus\.ca: .*not both",
            id="two CA bundles",
        ),
        pytest.param(_prometheus(headers={"X-Scope-OrgID": 7}), "X-Scope-OrgID", id="a number as header"),
        pytest.param({"replicas": 2}, "replicas", id="an unknown key at the top"),
        pytest.param({"image": {"name": "flyball"}}, "name", id="an unknown key of image"),
        pytest.param({"image": {"digest": "0123"}}, r"/image/digest|image\.digest", id="a digest without algorithm"),
        pytest.param(
            {"image": {"pullPolicy": "always"}},
            r"/image/pullPolicy|image\.pullPolicy",
            id="a pull policy in lower case",
        ),
        pytest.param({"operator": {"tick": 15}}, r"/operator/tick|operator\.tick", id="a tick without unit"),
        pytest.param(
            {"operator": {"logLevel": "chatty"}}, r"/operator/logLevel|operator\.logLevel", id="an unknown log level"
        ),
        pytest.param({"watchNamespaces": "chat"}, "watchNamespaces", id="namespaces as one string"),
        pytest.param({"watchNamespaces": ["chat", "chat"]}, "watchNamespaces", id="a namespace twice"),
        pytest.param({"watchNamespaces": ["chat-*"]}, "watchNamespaces", id="a pattern as namespace"),
        pytest.param(
            {"fallback": {"enabled": "yes"}}, r"/fallback/enabled|fallback\.enabled", id="a word for a boolean"
        ),
        pytest.param({"runAsUser": 0}, "runAsUser", id="root"),
        pytest.param(
            {"podDisruptionBudget": {"minAvailable": 1}}, "minAvailable", id="another form of disruption budget"
        ),
        pytest.param({"networkPolicy": {"egress": {"apiServerPorts": [0]}}}, "apiServerPorts", id="port 0"),
        pytest.param({"restore": {"activeDeadlineSeconds": 5}}, "activeDeadlineSeconds", id="no time to restore in"),
        pytest.param({"extraEnv": [{"value": "x"}]}, "extraEnv", id="a variable without a name"),
        pytest.param(
            {"decisionRecords": {"sizeMiB": "64Mi"}},
            r"/decisionRecords/sizeMiB|decisionRecords\.sizeMiB",
            id="a size with its unit",
        ),
        pytest.param(
            {"decisionRecords": {"persistentVolumeClaim": {"create": True, "existingClaim": "mine"}}},
            r"decisionRecords\.persistentVolumeClaim: set create or name existingClaim, not both",
            id="two claims",
        ),
        pytest.param(
            {"ledger": {"enabled": True}},
            r"ledger\.enabled needs a place that outlives the pod: set ledger\.persistentVolumeClaim\.create",
            id="a ledger without a place",
        ),
        pytest.param(
            {
                "ledger": {
                    "enabled": True,
                    "persistentVolumeClaim": {"create": True},
                    "postgresql": {"existingSecret": "database"},
                }
            },
            r"ledger: name postgresql\.existingSecret, or a persistentVolumeClaim, not both",
            id="a ledger in two places",
        ),
        pytest.param(
            {"ledger": {"persistentVolumeClaim": {"create": True, "existingClaim": "mine"}}},
            r"ledger\.persistentVolumeClaim: set create or name existingClaim, not both",
            id="two claims for the ledger",
        ),
        pytest.param(
            {"ledger": {"persistentVolumeClaim": {"size": "4 GB"}}},
            r"/ledger/persistentVolumeClaim/size|ledger\.persistentVolumeClaim\.size",
            id="a size that is no quantity",
        ),
        pytest.param({"rbac": {"targets": []}}, r"/rbac/targets|rbac\.targets", id="nothing to scale"),
        pytest.param(
            {"serviceAccount": {"create": False}}, r"serviceAccount\.name is needed", id="no ServiceAccount at all"
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(render, refused, values, message):
    with pytest.raises(refused) as refusal:
        render(values)
    assert re.search(message, refusal.value.text, re.DOTALL), refusal.value.text


def test_a_parent_chart_may_set_globals(render):
    assert render({"global": {"imageRegistry": "registry.example"}}).all("Deployment")


def _objects(schema, path=""):
    """Every object of the schema with fixed keys, by its path."""
    if "properties" in schema:
        yield path, schema
        for name, part in schema["properties"].items():
            yield from _objects(part, f"{path}.{name}")
    if "items" in schema:
        yield from _objects(schema["items"], f"{path}[]")


def test_no_object_of_the_schema_takes_unknown_keys(chart):
    schema = json.loads((chart / "values.schema.json").read_text())
    lenient = [path for path, part in _objects(schema) if part.get("additionalProperties") is not False]
    assert lenient == []


def test_schema_and_defaults_name_the_same_values(chart):
    schema = json.loads((chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((chart / "values.yaml").read_text())

    def compare(part, values, path):
        if "properties" not in part or not isinstance(values, dict):
            return
        expected = set(part["properties"]) - ({"global"} if not path else set())
        assert expected == set(values), path or "top"
        for name in expected:
            compare(part["properties"][name], values[name], f"{path}.{name}")

    compare(schema, defaults, "")
