"""The Cluster port as the operator needs it: it must also find the routes that no spec names any more."""

from typing import Protocol

from flyball.core.names import WorkloadKey
from flyball.core.ports import Cluster


class RestoringCluster(Cluster, Protocol):
    """Workloads' objects, and everything that was ever moved for one of them."""

    async def restore_all(self, key: WorkloadKey) -> None:
        """Restore every rule that this workload moved, also those that its spec no longer names.

        Conflict, once, where somebody else changed weights meanwhile: theirs stay.
        """
        ...
