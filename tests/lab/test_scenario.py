import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flyball.lab.fields import FieldError
from flyball.lab.fleet.model import Fallback, FleetOptions, Routing
from flyball.lab.policies.model import Objective
from flyball.lab.presets import PRESETS
from flyball.lab.scenario import overridden, parse_scenario, read_scenario
from flyball.lab.trace import InvalidTraceError, Trace, write_trace
from flyball.lab.traffic import LengthShift, TraceMissingError, TraceSource

EVALUATION = """
name: azure2023-conv-8b-l4
trace: {path: traces/azure2023_conv.csv.gz, rateScale: 4.0, start: 0s, duration: 1h, warmup: 10m}
variants:
  - name: l4
    engine: {baseMs: 77, perSequenceMs: 0.14, perContextTokenMs: 0.00055, perPrefillTokenMs: 0.265,
             requestOverheadMs: 16, kvTokens: 38000, maxBatch: 256, maxBatchedTokens: 2048}
    startup: 120s
    pricePerGpuHour: "0.80"
    gpusPerReplica: 1
    minReplicas: 1
    maxReplicas: 60
routing: leastOutstanding
objectives:
  - {indicator: TimeToFirstToken, threshold: 1s, target: "95%"}
  - {indicator: InterTokenLatency, threshold: 150ms, target: "95%"}
telemetry: {scrape: 15s, delay: 5s, buckets: VLLM}
tick: 15s
clientTimeout: none
seeds: 3
policies: [flyball, static-peak, hpa-gpu]
tune: hindsight
"""
POLICIES = ("flyball", "static-peak", "hpa-gpu", "floor")


def document(**changes: Any) -> Any:
    minimal = {
        "name": "made",
        "trace": {"path": "generate:conversation?rate=2&duration=10m"},
        "variants": [{"name": "a", "engine": "a100_8b", "startup": "2m"}],
        "objectives": [{"indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}],
    }
    return minimal | changes


def test_the_evaluations_own_example_is_read(tmp_path: Path) -> None:
    scenario = parse_scenario(yaml.safe_load(EVALUATION), tmp_path, POLICIES)
    assert scenario.trace == TraceSource(str(tmp_path / "traces/azure2023_conv.csv.gz"), 4.0, 0.0, 3600.0, 600.0)
    variant = scenario.variants[0]
    assert (variant.name, variant.startup_seconds, variant.price_per_gpu_hour) == ("l4", 120.0, Decimal("0.80"))
    assert (variant.engine.base_ms, variant.engine.kv_tokens, variant.max_replicas) == (77, 38000, 60)
    assert scenario.objectives[1] == Objective("InterTokenLatency", 0.15, 0.95)
    assert scenario.options == FleetOptions()
    assert (scenario.tick_seconds, scenario.seeds, scenario.hindsight) == (15.0, 3, True)
    assert scenario.policies == ("flyball", "static-peak", "hpa-gpu")


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    scenario = parse_scenario(document(), tmp_path, POLICIES)
    assert scenario.policies == ()
    assert scenario.variants[0].engine == PRESETS["a100_8b"].parameters
    assert (scenario.variants[0].min_replicas, scenario.variants[0].max_replicas) == (1, 60)
    assert (scenario.history, scenario.hindsight, scenario.seeds) == (None, False, 3)
    assert math.isinf(scenario.options.client_timeout_seconds)


def test_stress_fields_reach_the_fleet(tmp_path: Path) -> None:
    failures = {"failedStartShare": 0.02, "slowShare": 0.1, "slowPrefillFactor": 1.3, "reclaimMean": "2h"}
    failures["scrapeGaps"] = [{"start": "10m", "duration": "5m"}]
    shift = {"at": "5m", "input": 2}
    trace = {"path": "generate:conversation?rate=2&duration=10m", "lengthShift": shift}
    scenario = parse_scenario(
        document(
            failures=failures, gpus=8, clientTimeout="30s", routing="kvAware", gatewayQueue=True, trace=trace,
            history={"path": "generate:code"}, priorFactor=2,
        ),
        tmp_path,
    )  # fmt: skip
    variant = scenario.variants[0]
    assert (variant.failed_start_share, variant.slow_share, variant.slow_prefill_factor) == (0.02, 0.1, 1.3)
    assert variant.reclaim_mean_seconds == 7200.0
    assert scenario.options == FleetOptions(Routing.KV_AWARE, True, 30.0, 15.0, 5.0, ((600.0, 900.0),), 8)
    assert scenario.trace.shift == LengthShift(300.0, 2.0, 1.0)
    assert scenario.history == TraceSource("generate:code")
    assert scenario.prior_factor == 2.0


@pytest.mark.parametrize(
    ("at_zero", "fallback"),
    [
        pytest.param({}, None, id="left out: requests are held"),
        pytest.param({"atZero": "hold"}, None, id="they are held"),
        pytest.param(
            {"atZero": {"firstToken": "900ms", "perToken": "20ms", "pricePerRequest": "0.004"}},
            Fallback(0.9, 0.02, Decimal("0.004")),
            id="a fallback answers them",
        ),
    ],
)
def test_what_becomes_of_requests_at_zero(tmp_path: Path, at_zero: dict[str, Any], fallback: Fallback | None) -> None:
    assert parse_scenario(document(policies=["flyball"], **at_zero), tmp_path, POLICIES).options.fallback == fallback


VARIANT = {"name": "a", "engine": "a100_8b", "startup": "2m"}
OBJECTIVE = {"indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"name": 7}, r"name: is 7; write some text", id="a name"),
        pytest.param({"atZero": "drop"}, r"atZero: is 'drop'; write hold, or firstToken and", id="nowhere to go"),
        pytest.param({"atZero": {"firstToken": "1s"}}, r"atZero.perToken: is missing; add it", id="half a fallback"),
        pytest.param(
            {"atZero": {"firstToken": "1s", "perToken": "0s"}, "policies": ["flyball", "floor"]},
            r"policies: flyball, floor: with a fallback at zero the floor and the oracle bound nothing",
            id="a bound that is none",
        ),
        pytest.param({"rutting": "random"}, r"rutting: there is no such field; did you mean routing\?", id="a typo"),
        pytest.param({"trace": {}}, r"trace.path: is missing; add it", id="no trace"),
        pytest.param({"trace": "a.csv"}, r"trace: is 'a.csv'; write a mapping of fields", id="no mapping"),
        pytest.param({"variants": []}, r"variants: is \[\]; write a list with at least one entry", id="no variants"),
        pytest.param(
            {"trace": {"path": "a", "rateScale": 0}}, r"trace.rateScale: is 0; give more than 0", id="no traffic"
        ),
        pytest.param(
            {"trace": {"path": "a", "rateScale": math.nan}}, r"trace.rateScale: is nan; give a number", id="NaN"
        ),
        pytest.param(
            {"trace": {"path": "a", "warmup": "10m", "duration": "10m"}},
            r"trace.warmup: is 10m, and trace.duration is 10m: nothing would count; give a shorter warmup",
            id="all warm-up",
        ),
        pytest.param(
            {"trace": {"path": "a", "start": 5}}, r"trace.start: is 5; write a duration such as 15s", id="no unit"
        ),
        pytest.param(
            {"variants": [VARIANT | {"engine": "b200"}]},
            r"variants\[0\].engine: there is no engine preset 'b200'; choose one of h100_8b",
            id="an unknown engine",
        ),
        pytest.param(
            {"variants": [VARIANT | {"engine": {"baseMs": 5}}]},
            r"variants\[0\].engine: engine parameters lack perSequenceMs",
            id="half an engine",
        ),
        pytest.param(
            {"variants": [VARIANT | {"minReplicas": 9, "maxReplicas": 3}]},
            r"variants\[0\].minReplicas: is 9, more than maxReplicas, 3",
            id="bounds crossed",
        ),
        pytest.param(
            {"variants": [VARIANT, VARIANT]}, r"variants\[1\].name: 'a' is a variant already", id="the same name"
        ),
        pytest.param(
            {"variants": [VARIANT | {"pricePerGpuHour": "-1"}]},
            r"variants\[0\].pricePerGpuHour: '-1' is not an amount of money",
            id="a negative price",
        ),
        pytest.param(
            {"variants": [VARIANT | {"pricePerGpuHour": 0}]}, r"pricePerGpuHour: is 0: costs could not", id="for free"
        ),
        pytest.param({"objectives": [OBJECTIVE, OBJECTIVE]}, r"objectives\[1\].indicator: TimeToFirst", id="twice"),
        pytest.param(
            {"objectives": [OBJECTIVE | {"target": 0.95}]},
            r"objectives\[0\].target: is 0.95; write a percentage such as \"95%\"",
            id="a bare share",
        ),
        pytest.param({"objectives": [OBJECTIVE | {"target": "100%"}]}, r"target: is '100%'; give more", id="all"),
        pytest.param(
            {"objectives": [OBJECTIVE | {"indicator": "Retrieval"}]}, r"indicator: is 'Retrieval'; choose", id="other"
        ),
        pytest.param({"objectives": [OBJECTIVE | {"threshold": "0s"}]}, r"threshold: is '0s'; give 1ms", id="at once"),
        pytest.param({"policies": ["flyball", "hpa"]}, r"policies: there is no policy 'hpa'; choose of", id="unknown"),
        pytest.param({"policies": ["floor", "floor"]}, r"policies: 'floor' stands in it twice", id="a policy twice"),
        pytest.param({"seeds": 0}, r"seeds: is 0; give a whole number, 1 to 100", id="no seed"),
        pytest.param({"tune": "all"}, r"tune: is 'all'; choose one of hindsight, none", id="tuning"),
        pytest.param({"telemetry": {"buckets": "SGLANG"}}, r"telemetry.buckets: is 'SGLANG'; choose", id="buckets"),
        pytest.param({"telemetry": {"scrape": "0s"}}, r"telemetry.scrape: is '0s'; give 1s or more", id="no scrape"),
        pytest.param({"failures": {"slowShare": 2}}, r"failures.slowShare: is 2; give at least 0 and", id="a share"),
        pytest.param({"gatewayQueue": "yes"}, r"gatewayQueue: is 'yes'; write true or false", id="a flag"),
    ],
)
def test_every_fault_names_the_field_the_value_and_the_fix(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(FieldError, match=complaint):
        parse_scenario(document(**changes), tmp_path, POLICIES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("{", "not valid YAML", id="not YAML"),
        pytest.param("", "the document: is None; write a mapping", id="empty"),
        pytest.param("[1]", r"the document: is \[1\]; write a mapping", id="a list"),
    ],
)
def test_a_file_that_is_no_scenario_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(FieldError, match=f"x.yaml: {complaint}"):
        read_scenario(path)
    with pytest.raises(FieldError, match=r"gone\.yaml: cannot be read"):
        read_scenario(tmp_path / "gone.yaml")


def test_single_fields_are_overridden_in_their_sections(tmp_path: Path) -> None:
    changed = overridden(
        document(), {"trace.rateScale": 2.0, "variants.startup": "3m", "seeds": 5, "telemetry.scrape": "30s"}
    )
    scenario = parse_scenario(changed, tmp_path)
    assert scenario.trace.rate_scale == 2.0
    assert scenario.trace.path == "generate:conversation?rate=2&duration=10m"
    assert (scenario.variants[0].startup_seconds, scenario.variants[0].name) == (180.0, "a")
    assert (scenario.seeds, scenario.options.scrape_seconds) == (5, 30.0)


def test_a_field_of_one_of_several_variants_is_not_overridden() -> None:
    with pytest.raises(FieldError, match=r"variants.startup: the scenario has not exactly one variant"):
        overridden(document(variants=[VARIANT, VARIANT]), {"variants.startup": "3m"})


def test_a_trace_is_found_in_the_folders_above_the_scenario(tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "docs"
    folder.mkdir(parents=True)
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "a.csv").write_text("t_seconds,input_tokens,output_tokens\n0,5,5\n400,5,5\n")
    scenario = parse_scenario(document(trace={"path": "traces/a.csv"}), folder)
    assert scenario.load_trace(seed=1).t_seconds.tolist() == [0.0, 400.0]
    with pytest.raises(TraceMissingError, match=r"trace.path: .*traces/b.csv: no such file"):
        parse_scenario(document(trace={"path": "traces/b.csv"}), folder).load_trace(seed=1)


def test_the_same_seed_gives_the_same_traffic_and_another_seed_another(tmp_path: Path) -> None:
    scenario = parse_scenario(document(trace={"path": "generate:code?rate=1&duration=10m", "rateScale": 2.5}), tmp_path)
    first, again, other = (scenario.load_trace(seed).t_seconds.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_lengths_shift_at_constant_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_trace(Trace("a", *map(np.array, ([0.0, 200, 400], [10, 10, 11], [4, 4, 4])), 400.0), path)
    shift = {"at": "3m", "input": 1.5, "output": 0.1}
    scenario = parse_scenario(document(trace={"path": "a.csv", "lengthShift": shift}), tmp_path)
    trace = scenario.load_trace(1)
    assert trace.t_seconds.tolist() == [0, 200, 400]
    assert trace.input_tokens.tolist() == [10, 15, 16]
    assert trace.output_tokens.tolist() == [4, 1, 1]


@pytest.mark.parametrize(
    ("trace", "startup", "complaint"),
    [
        pytest.param(
            {"path": "generate:code?duration=10m", "warmup": "10m"}, "1m",
            "made: trace.warmup: is 10m, and no request comes after it", id="warm-up to the end",
        ),
        pytest.param(
            {"path": "generate:code?duration=10m"}, "10m",
            "variants.startup: is 10m for a, and the whole run lasts 10m: no order could ever help", id="start-up",
        ),
        pytest.param({"path": "generate:code?duration=10m", "start": "1h"}, "1m", "no requests from 1h on", id="start"),
    ],
)  # fmt: skip
def test_a_run_in_which_nothing_could_be_learnt_is_refused(
    tmp_path: Path, trace: dict[str, Any], startup: str, complaint: str
) -> None:
    scenario = parse_scenario(document(trace=trace, variants=[VARIANT | {"startup": startup}]), tmp_path)
    with pytest.raises(InvalidTraceError, match=complaint):
        scenario.load_trace(1)


@pytest.mark.parametrize(
    ("own", "seconds"),
    [
        pytest.param({}, 7200.0, id="as the failures say"),
        pytest.param({"reclaimMean": "30m"}, 1800.0, id="its own"),
        pytest.param({"reclaimMean": "none"}, None, id="none: it is not on spot capacity"),
    ],
)
def test_a_variant_may_live_otherwise_than_the_failures_say(
    own: dict[str, str], seconds: float | None, tmp_path: Path
) -> None:
    [variant] = document()["variants"]
    made = parse_scenario(document(failures={"reclaimMean": "2h"}, variants=[{**variant, **own}]), tmp_path)
    assert made.variants[0].reclaim_mean_seconds == seconds
