"""A real Kubernetes for tests and the demo, without a container engine. See README.md beside this package."""

from flyball_cluster.api_only import ApiServer, api_server
from flyball_cluster.errors import ClusterError

__all__ = ["ApiServer", "ClusterError", "api_server"]
