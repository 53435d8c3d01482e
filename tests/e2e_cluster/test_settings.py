from pathlib import Path

import pytest
from flyball_cluster.errors import ClusterError
from flyball_cluster.settings import SYSTEM_RUNTIME, Mode, settings_from


def test_without_a_word_the_cluster_is_embedded_and_kept_off_the_home_folder() -> None:
    settings = settings_from({"HOME": "/home/ann"})

    assert settings.mode is Mode.EMBEDDED
    assert settings.cache == Path("/home/ann/.cache/flyball/cluster")
    assert settings.runtime == SYSTEM_RUNTIME
    assert settings.gpus == 16


def test_other_modes_keep_their_facts_in_the_cache() -> None:
    settings = settings_from({"HOME": "/home/ann", "XDG_CACHE_HOME": "/c", "CLUSTER": "current"})

    assert settings.cluster_file == Path("/c/flyball/cluster/current/cluster.json")


def test_the_runtime_folder_can_be_chosen() -> None:
    assert settings_from({"FLYBALL_CLUSTER_DIR": "/x"}).cluster_file == Path("/x/cluster.json")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("CLUSTER", "minikube", id="an unknown mode"),
        pytest.param("FLYBALL_CLUSTER_GPUS", "-1", id="a negative number of GPUs"),
        pytest.param("FLYBALL_CLUSTER_GPUS", "many", id="a number of GPUs in words"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ClusterError, match=f"{variable}={value}"):
        settings_from({variable: value})
