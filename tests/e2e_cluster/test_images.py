from pathlib import Path

import pytest
from flyball_cluster.errors import ClusterError
from flyball_cluster.images import content_digest, for_base_python, full_reference

LOCK = """\
# comment
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa
    # via flyball
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
idna==3.20 \\
    --hash=sha256:cc
colorama==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:dd
"""


def test_a_lock_keeps_the_entries_of_the_bases_python_and_leaves_other_markers_to_pip() -> None:
    assert for_base_python(LOCK) == (
        "# comment\n"
        "numpy==2.4.6 \\\n    --hash=sha256:aa\n    # via flyball\n"
        "idna==3.20 \\\n    --hash=sha256:cc\n"
        "colorama==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:dd\n"
    )


@pytest.mark.parametrize(
    ("tag", "reference"),
    [
        pytest.param("flyball:dev", "docker.io/library/flyball:dev", id="a bare name is a library image"),
        pytest.param("team/flyball:dev", "docker.io/team/flyball:dev", id="a folder without a dot is no registry"),
        pytest.param("example.org/flyball:1", "example.org/flyball:1", id="a dot makes a registry"),
        pytest.param("localhost/flyball:1", "localhost/flyball:1", id="localhost is a registry"),
        pytest.param("host:5000/flyball", "host:5000/flyball", id="a port makes a registry"),
    ],
)
def test_names_are_completed_as_container_runtimes_do(tag: str, reference: str) -> None:
    assert full_reference(tag) == reference


def test_the_digest_follows_content_names_and_salt(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("a")

    digests = {
        content_digest(tmp_path, [one], "x"),
        content_digest(tmp_path, [two], "x"),
        content_digest(tmp_path, [one], "y"),
        content_digest(tmp_path, [one, two], "x"),
    }
    one.write_text("b")
    digests.add(content_digest(tmp_path, [one], "x"))

    assert len(digests) == 5


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="does not exist"):
        content_digest(tmp_path, [tmp_path / "requirements.lock"], "x")
