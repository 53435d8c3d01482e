"""Whether pods that are told to end serve on until gateways have learned that they go, as far as their template says.

Kubernetes tells a pod and the EndpointSlices' readers at the same time, and waits for none of them: a container that
stops taking requests at SIGTERM loses those that a gateway still sends. A preStop hook delays the SIGTERM; it counts
against the grace period, and what is left of that is what running requests have to finish.
"""

from flyball.cluster.resources import Object, dig

_DEFAULT_GRACE_SECONDS = 30


def ends_at_once(pod_spec: Object) -> str:
    """What is wrong with how pods of this template end; empty where nothing is, as far as can be seen."""
    hooks = [hook for container in pod_spec.get("containers") or () if (hook := dig(container, "lifecycle", "preStop"))]
    if not hooks:
        return "no container has a preStop hook"
    grace = pod_spec.get("terminationGracePeriodSeconds")
    grace = _DEFAULT_GRACE_SECONDS if grace is None else grace
    longest = max(dig(hook, "sleep", "seconds") or 0 for hook in hooks)
    if longest >= grace:
        return f"preStop sleeps {longest} s of the {grace} s of terminationGracePeriodSeconds, and nothing can finish"
    return ""
