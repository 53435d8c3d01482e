import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from flyball_cluster.oci import write_image


def test_an_archive_names_its_image_and_every_digest_is_that_of_its_blob(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"program")
    write_image(tmp_path / "image.tar", "example.org/pause:1", files={"pause": program}, entrypoint=["/pause"])

    with tarfile.open(tmp_path / "image.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    blobs = {name.rpartition("/")[2]: content for name, content in contents.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in blobs.items())

    def blob(entry: dict[str, Any]) -> Any:
        return json.loads(blobs[entry["digest"].removeprefix("sha256:")])

    entry = json.loads(contents["index.json"])["manifests"][0]
    assert entry["annotations"]["io.containerd.image.name"] == "example.org/pause:1"
    assert blob(blob(entry)["config"])["config"]["Entrypoint"] == ["/pause"]
