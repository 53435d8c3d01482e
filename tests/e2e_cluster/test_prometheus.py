import re
from pathlib import Path

import pytest
from flyball_cluster.prometheus import scrape_configuration


def address(annotated_port: str, discovered: str) -> str:
    """The address that the relabelling rules make, by Prometheus's own semantics of an anchored regex."""
    pods = scrape_configuration(Path("k"), "127.0.0.1:1")["scrape_configs"][0]
    rule = next(rule for rule in pods["relabel_configs"] if rule.get("target_label") == "__address__")
    found = re.fullmatch(rule["regex"], f"{discovered};{annotated_port}")
    return found.expand(rule["replacement"].replace("$", "\\")) if found else discovered


@pytest.mark.parametrize(
    ("annotated", "discovered", "expected"),
    [
        pytest.param("9400", "10.0.0.2:8000", "10.0.0.2:9400", id="the annotation wins over the declared port"),
        pytest.param(
            "9400", "10.0.0.2", "10.0.0.2:9400", id="a pod that declares no port is scraped at the annotation's"
        ),
        pytest.param("", "10.0.0.2:8000", "10.0.0.2:8000", id="without annotation the declared port stays"),
    ],
)
def test_the_port_annotation_is_honoured(annotated: str, discovered: str, expected: str) -> None:
    assert address(annotated, discovered) == expected


def test_a_pods_series_bear_where_they_come_from() -> None:
    pods = scrape_configuration(None, "127.0.0.1:1")["scrape_configs"][0]

    labels = {rule.get("target_label") for rule in pods["relabel_configs"]}
    assert {"namespace", "pod", "container", "node"} <= labels
    assert pods["kubernetes_sd_configs"] == [{"role": "pod"}]
