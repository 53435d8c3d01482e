"""Run with the code of one version, in a process of its own: reads WorkloadSLOs as JSON, and says what it makes of
them.

    python judge.py 1795650000 < objects.json        # the time, and a list of objects as the API server holds them

For each object: what is wrong with its spec, what its status is read as, since when its conditions are remembered to
hold, and the status that this version writes after a look at a healthy cluster and no telemetry.
"""

import json
import sys

from flyball.api.convert import read_workload
from flyball.api.parse import parse_status
from flyball.core.decide import decide
from flyball.core.observation import Observation, RouteState, VariantState, WorkloadSignals, WorkloadState
from flyball.core.spec import Invalid
from flyball.runtime import status
from flyball.runtime.known import Known

AT = float(sys.argv[1])

found = []
for raw in json.load(sys.stdin):
    spec = read_workload(raw, {})
    if isinstance(spec, Invalid):
        known = Known.recalled(str(raw["metadata"]["uid"]), raw)
        told = status.render_invalid(spec, AT, known.conditions, known.status)
        found.append({"errors": [str(error) for error in spec.errors], "status": told})
        continue
    known = Known.recalled(str(raw["metadata"]["uid"]), raw)
    states = tuple(VariantState(each.name, replicas=2, ready=2) for each in spec.variants)
    routes = tuple(RouteState(each.route) for each in (spec.fallback.routes if spec.fallback else ()))
    seen = Observation(spec.key, AT, WorkloadSignals(problem="not asked"), WorkloadState(states, routes))
    decision, _ = decide(spec, seen, known.memory)
    found.append(
        {
            "errors": [],
            "read": parse_status(raw).to_wire(),
            "since": {str(condition.type): condition.since for condition in known.conditions},
            "status": status.render(spec, seen, decision, known.conditions),
        }
    )
json.dump(found, sys.stdout)
