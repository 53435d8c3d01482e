"""The files under crds/ are what the models say, and the chart's copies are the same behind a guard."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flyball.api.crd import RESOURCES, chart_files, crd_files, custom_resource_definition, render_crds
from flyball.api.resource import Resource

ROOT = Path(__file__).parents[2]
BY_KIND = [pytest.param(resource, id=resource.names.kind) for resource in RESOURCES]


def test_crds_on_disk_are_rendered_from_the_models() -> None:
    assert render_crds(ROOT / "crds", check=True) == ""
    assert {path.name for path in (ROOT / "crds").glob("*.yaml")} == set(crd_files())


def test_check_shows_drift_and_writes_nothing(tmp_path: Path) -> None:
    render_crds(tmp_path)
    edited = tmp_path / "flyball.dev_pricebooks.yaml"
    edited.write_text(
        edited.read_text(encoding="utf-8").replace("scope: Cluster", "scope: Namespaced"), encoding="utf-8"
    )
    before = edited.read_text(encoding="utf-8")
    difference = render_crds(tmp_path, check=True)
    assert "-  scope: Namespaced\n+  scope: Cluster\n" in difference
    assert edited.read_text(encoding="utf-8") == before
    render_crds(tmp_path)
    assert render_crds(tmp_path, check=True) == ""


def test_check_of_an_absent_folder_shows_all_of_it(tmp_path: Path) -> None:
    difference = render_crds(tmp_path / "crds", tmp_path / "chart", check=True)
    assert "+kind: CustomResourceDefinition" in difference
    assert not (tmp_path / "crds").exists()


def test_chart_copies_are_guarded_kept_and_free_of_stray_braces(tmp_path: Path) -> None:
    render_crds(None, tmp_path)
    for name, plain in crd_files().items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text == chart_files()[name]
        lines = text.splitlines()
        assert lines[0] == "{{- if .Values.crds.install }}"
        assert lines[-1] == "{{- end }}"
        body = "\n".join(lines[1:-1])
        without_escapes = body.replace('{{ "{{" }}', "{{")
        definition = yaml.safe_load(without_escapes)
        assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert definition == yaml.safe_load(plain)
        assert body.replace('{{ "{{" }}', "").count("{{") == 0


@pytest.mark.parametrize("resource", BY_KIND)
def test_printer_columns_point_at_fields_that_exist(resource: type[Resource]) -> None:
    version = custom_resource_definition(resource)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"].split("[?", 1)[0].replace("[*]", "").strip(".").split(".")
        if path[0] != "metadata":
            assert _leads_somewhere(schema, path), column["jsonPath"]


def _leads_somewhere(schema: dict[str, Any], path: list[str]) -> bool:
    for part in path:
        schema = schema.get("items", schema)
        if part not in schema.get("properties", {}):
            return False
        schema = schema["properties"][part]
    return True


def test_first_question_is_answered_without_wide_output() -> None:
    narrow = {
        resource.names.kind: [column.name for column in resource.columns if not column.priority]
        for resource in RESOURCES
    }
    assert narrow["WorkloadSLO"] == ["Mode", "SLO", "Budget", "Cost", "Replicas", "ROI", "Fallback", "Ready", "Age"]
    assert narrow["GPUPool"] == ["Granted", "Asked", "Short", "Age"]
    assert narrow["Budget"] == ["State", "Spent", "Age"]
    assert narrow["DemandEvent"] == ["Phase", "Multiple", "Start", "End", "Workloads", "Age"]


def test_names_and_subresources() -> None:
    definitions = {d["spec"]["names"]["kind"]: d["spec"] for d in map(custom_resource_definition, RESOURCES)}
    assert definitions["WorkloadSLO"]["names"]["shortNames"] == ["wslo"]
    assert definitions["PriceBook"]["names"]["shortNames"] == ["pb"]
    assert definitions["GPUPool"]["names"]["shortNames"] == ["gpupool"]
    assert definitions["DemandEvent"]["names"]["shortNames"] == ["demandevent"]
    assert definitions["ROIExperiment"]["names"]["shortNames"] == ["roix"]
    assert {kind: spec["scope"] for kind, spec in definitions.items()} == {
        "WorkloadSLO": "Namespaced",
        "PriceBook": "Cluster",
        "GPUPool": "Cluster",
        "DemandEvent": "Namespaced",
        "ROIExperiment": "Namespaced",
        "Budget": "Namespaced",
    }
    for spec in definitions.values():
        assert spec["names"]["categories"] == ["flyball"]
        assert spec["versions"][0]["subresources"] == {"status": {}}
