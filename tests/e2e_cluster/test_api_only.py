import json
import subprocess
from collections import Counter

import pytest
from flyball_cluster import ApiServer, api_server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver


def kubectl(server: ApiServer, *arguments: str) -> str:
    return subprocess.run([*server.kubectl, *arguments], capture_output=True, text=True, check=True).stdout


def test_objects_outlive_a_restart_and_the_audit_log_counts_writes_by_user() -> None:
    with api_server() as server:
        kubectl(server, "create", "namespace", "proof")
        server.stop()
        server.start()

        assert kubectl(server, "get", "namespace", "proof", "-oname") == "namespace/proof\n"
        events = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
        writes = Counter(event["user"]["username"] for event in events if event["verb"] == "create")
        assert writes["flyball-admin"] == 1
        runtime = server.kubeconfig.parent
    assert not runtime.exists()
