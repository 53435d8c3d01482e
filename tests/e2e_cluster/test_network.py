import pytest
from flyball_cluster.errors import ClusterError
from flyball_cluster.network import CANDIDATES, choose_plan


@pytest.mark.parametrize(
    ("routes", "network"),
    [
        pytest.param([], CANDIDATES[0], id="a machine without routes gets the first range"),
        pytest.param(["192.168.1.0/24", "fd00::/64"], CANDIDATES[0], id="other ranges and IPv6 do not matter"),
        pytest.param(["10.213.7.0/24"], CANDIDATES[1], id="a route inside the first range moves on to the second"),
        pytest.param(["10.0.0.0/8"], CANDIDATES[2], id="a route around two ranges skips both"),
        pytest.param(["10.213.4.5"], CANDIDATES[1], id="a single address counts as a route"),
    ],
)
def test_ranges_keep_clear_of_the_machines_routes(routes: list[str], network: str) -> None:
    assert choose_plan(routes).network == network


def test_a_machine_that_routes_every_candidate_is_told_so() -> None:
    with pytest.raises(ClusterError, match="overlaps"):
        choose_plan(["10.0.0.0/8", "172.16.0.0/12"])


def test_pods_and_services_share_the_range_without_overlap() -> None:
    plan = choose_plan([])

    assert (plan.pod_cidr, plan.service_cidr) == ("10.213.0.0/17", "10.213.128.0/17")
    assert plan.node_address == "10.213.0.1"
    assert (plan.api_service_address, plan.dns_service_address) == ("10.213.128.1", "10.213.128.10")
