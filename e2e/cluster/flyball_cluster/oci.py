"""Writing a container image as an OCI archive: one layer, one configuration, no engine needed."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_TYPES = "application/vnd.oci.image"


def write_image(archive: Path, reference: str, files: Mapping[str, Path], entrypoint: Sequence[str]) -> None:
    """Write an image that holds a few executable files (path inside the image → file) and runs one of them."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for inside, source in files.items():
            _add(tar, inside, source.read_bytes(), mode=0o755)
    configuration = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint)},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
    }
    blobs: dict[str, bytes] = {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_TYPES}.manifest.v1+json",
        "config": _store(blobs, _encode(configuration), f"{_TYPES}.config.v1+json"),
        "layers": [_store(blobs, layer.getvalue(), f"{_TYPES}.layer.v1.tar")],
    }
    entry = _store(blobs, _encode(manifest), f"{_TYPES}.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _encode({"schemaVersion": 2, "manifests": [entry]}))
        for digest, content in blobs.items():
            _add(tar, f"blobs/sha256/{digest.removeprefix('sha256:')}", content)


def _store(blobs: dict[str, bytes], content: bytes, media_type: str) -> dict[str, object]:
    digest = _digest(content)
    blobs[digest] = content
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
