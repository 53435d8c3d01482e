"""Which pods belong to which target, told by their names.

Prometheus folds the pods of one owner into one group, so that its answers grow with targets and not with pods. A pod's
name says its owner: `<deployment>-<pod template hash>-<5 random characters>`, where Kubernetes writes the hash in ten
characters and the random part without vowels (k8s.io/apimachinery, util/rand), and `<owner>-<anything>` for all else.
The group of a Deployment's pods is `<deployment>/*`, of others `<owner>`: names hold no slash, so the two never meet.
Whole groups are compared with the names of known targets, therefore dashes in names are no matter.
"""

import re

from flyball.core.spec import TargetRef

GROUP_LABEL = "flyball_pods"

OWNER_REGEX = "(.+)-[^-]+"
OWNER_GROUP = "$1"
DEPLOYMENT_REGEX = "(.+)-[4-9bcdf]{4,10}-[b-df-hj-np-tv-xz2456789]{5}"
DEPLOYMENT_GROUP = "$1/*"

# Kubernetes cuts the part before the random characters at 58; from this length of a Deployment's name on, the hash may
# lose its dash or vanish, and the pods look like `<deployment>-<anything>`.
_LENGTH_THAT_CUTS_HASHES = 47

_BY_TEMPLATE_HASH = frozenset({"Deployment", "Rollout"})
_BY_NAME = frozenset({"StatefulSet", "ReplicaSet", "ReplicationController"})


def group_of(pod: str) -> str:
    """The group of a pod, as the PromQL of `queries` computes it."""
    deployment = re.fullmatch(DEPLOYMENT_REGEX, pod)
    if deployment:
        return f"{deployment[1]}/*"
    owner = re.fullmatch(OWNER_REGEX, pod)
    return owner[1] if owner else ""


def groups_of(target: TargetRef) -> tuple[str, ...]:
    """The groups that a target's pods may be in."""
    if target.kind in _BY_TEMPLATE_HASH:
        cut = (target.name,) if len(target.name) >= _LENGTH_THAT_CUTS_HASHES else ()
        return (f"{target.name}/*", *cut)
    return (target.name,) if target.kind in _BY_NAME else (target.name, f"{target.name}/*")


def worker_groups(target: TargetRef) -> re.Pattern[str] | None:
    """The groups of workers `<name>-<replica>-<index>` beside the leaders `<name>-<replica>`, of a LeaderWorkerSet."""
    return re.compile(rf"{re.escape(target.name)}-\d+") if target.kind == "LeaderWorkerSet" else None
