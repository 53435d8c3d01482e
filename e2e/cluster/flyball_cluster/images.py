"""Building container images without a container engine: a base from Debian packages, wheels fetched on the host."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball_cluster.console import run, say, succeeds, timed
from flyball_cluster.errors import ClusterError
from flyball_cluster.files import exclusive
from flyball_cluster.prerequisites import IMAGE_TOOLS, require_tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BASE_SUITE = "bookworm"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
BASE_PYTHON = (3, 11)
WHEEL_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
PROJECT_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "operator/flyball")
LOCK = "requirements.lock"
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_MARKER = re.compile(r"\s*;\s*python_full_version\s*(<|>=)\s*'(\d+)\.(\d+)'")
_ANYTHING_GOES = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


@dataclass(frozen=True, slots=True)
class Image:
    """An image as an OCI archive."""

    reference: str
    """Full name, as a pod's short name is resolved."""
    archive: Path


class ImageBuilder:
    """Images in a cache folder; what has been built from the same content is not built again."""

    def __init__(self, cache: Path) -> None:
        self._images = cache / "images"
        self._wheels = cache / "wheels"
        self._work = cache / "buildah"

    def build(self, dockerfile: Path, tag: str, project: Path) -> Image:
        """Build a Dockerfile that takes BASE, from a context of `wheels/` and `requirements.lock` of the project."""
        require_tools(IMAGE_TOOLS)
        reference = full_reference(tag)
        sources = [dockerfile, project / LOCK, *(path for name in PROJECT_SOURCES for path in _files(project / name))]
        digest = content_digest(project, sources, salt=f"{self._base_name()} {reference}")
        name = re.sub(r"[^A-Za-z0-9.]+", "-", tag)
        archive = self._images / f"{name}-{digest}.tar"
        with exclusive(self._images / "lock", "another build of an image"):
            if archive.exists():
                say(f"image {tag}: unchanged")
                return Image(reference, archive)
            try:
                self._build(dockerfile, tag, project, archive, reference)
            except BaseException:
                self._abandon()
                raise
        for old in self._images.glob(f"{name}-*.tar"):
            if old != archive:
                old.unlink()
        return Image(reference, archive)

    def _build(self, dockerfile: Path, tag: str, project: Path, archive: Path, reference: str) -> None:
        base = self._ensure_base()
        context = self._work / "context" / archive.stem.rpartition("-")[0]
        with timed(f"wheels of {project.name}"):
            self._fill_context(context, project)
        with timed(f"image {tag} built"):
            built = f"localhost/flyball-build:{archive.stem.rpartition('-')[2]}"
            arguments = (
                "--isolation=chroot",
                "--format=oci",
                f"--build-arg=BASE={base}",
                f"--file={dockerfile}",
                f"--tag={built}",
            )
            self._buildah("build", *arguments, context)
            self._push(built, archive, reference)
            self._buildah("rmi", built)

    def _abandon(self) -> None:
        """Leave no half-built container and no mount behind; a second Ctrl-C does not interrupt that."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("cleaning up behind the image's build")
        succeeds([*self._words(), "rm", "--all"])
        succeeds(["umount", self._work / "storage" / "overlay"])

    def _base_name(self) -> str:
        recipe = " ".join((BASE_SUITE, *BASE_PACKAGES, *_EXCLUDED))
        return f"localhost/flyball-base:{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"

    def _ensure_base(self) -> str:
        name = self._base_name()
        if self._has(name):
            return name
        root = self._work / "base.tar"
        self._work.mkdir(parents=True, exist_ok=True)
        with timed(f"base image of {BASE_SUITE} with {' '.join(BASE_PACKAGES)}"):
            excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
            include = f"--include={','.join(BASE_PACKAGES)}"
            run(["mmdebstrap", "--quiet", "--variant=minbase", include, *excluded, BASE_SUITE, root])
            container = self._buildah("from", "scratch").strip()
            self._buildah("add", "--quiet", container, root, "/")
            self._buildah("config", "--cmd=python3", container)
            self._buildah("commit", "--quiet", "--rm", "--format=oci", container, name)
            root.unlink()
        return name

    def _fill_context(self, context: Path, project: Path) -> None:
        shutil.rmtree(context, ignore_errors=True)
        wheels = context / "wheels"
        wheels.mkdir(parents=True)
        shutil.copy(project / LOCK, context / LOCK)
        for wheel in self._dependencies(project / LOCK).glob("*.whl"):
            os.link(wheel, wheels / wheel.name)
        run([*_pip(), "wheel", "--no-deps", "--wheel-dir", wheels, project])

    def _dependencies(self, lock: Path) -> Path:
        """A folder with a wheel for every line of the lock, checked against the lock's hashes."""
        wanted = for_base_python(lock.read_text())
        folder = self._wheels / hashlib.sha256(wanted.encode()).hexdigest()[:16]
        if folder.is_dir():
            return folder
        partial = folder.with_suffix(f".partial-{os.getpid()}")
        partial.mkdir(parents=True)
        listing = partial / LOCK
        listing.write_text(wanted)
        version = ".".join(map(str, BASE_PYTHON))
        target = [f"--platform={name}_{platform.machine()}" for name in WHEEL_PLATFORMS]
        arguments = ["--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={version}", *target]
        try:
            run([*_pip(), "download", *arguments, "--dest", partial, "--requirement", listing])
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return folder

    def _push(self, built: str, archive: Path, reference: str) -> None:
        self._images.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(f".partial-{os.getpid()}")
        self._buildah("push", "--quiet", built, f"oci-archive:{partial}:{reference}")
        partial.rename(archive)

    def _has(self, name: str) -> bool:
        return succeeds([*self._words(), "inspect", "--type=image", name])

    def _buildah(self, command: str, *arguments: str | Path) -> str:
        policy = self._work / "policy.json"
        policy.parent.mkdir(parents=True, exist_ok=True)
        policy.write_text(_ANYTHING_GOES)
        takes_policy = command in ("from", "build", "commit", "push")
        return run([*self._words(), command, *([f"--signature-policy={policy}"] if takes_policy else []), *arguments])

    def _words(self) -> tuple[str, ...]:
        """buildah with storage of its own; without overlay mounts, the slow driver that copies."""
        places = ("buildah", f"--root={self._work / 'storage'}", f"--runroot={self._work / 'run'}")
        marker = self._work / "driver"
        if not marker.exists():
            self._work.mkdir(parents=True, exist_ok=True)
            marker.write_text("overlay" if succeeds([*places, "--storage-driver=overlay", "info"]) else "vfs")
        return (*places, f"--storage-driver={marker.read_text()}")


def full_reference(tag: str) -> str:
    """An image's name as container runtimes complete it: `flyball:dev` is `docker.io/library/flyball:dev`."""
    first, slash, _ = tag.partition("/")
    if not slash:
        return f"docker.io/library/{tag}"
    return tag if "." in first or ":" in first or first == "localhost" else f"docker.io/{tag}"


def content_digest(root: Path, files: Iterable[Path], salt: str) -> str:
    """A short digest over the names and contents of files."""
    digest = hashlib.sha256(salt.encode())
    for path in files:
        if not path.exists():
            raise ClusterError(f"{path} does not exist, and the image is made from it")
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(f"\0{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def for_base_python(lock: str) -> str:
    """A lock without the entries of other Python versions than the base's.

    pip judges a lock's markers by the Python that it runs on, whatever `--python-version` says, so they are read here.
    """
    kept, keeping = [], True
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            marker = _MARKER.search(line)
            keeping = marker is None or _holds(marker[1], (int(marker[2]), int(marker[3])))
            line = _MARKER.sub("", line)
        if keeping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _holds(operator: str, version: tuple[int, int]) -> bool:
    return version > BASE_PYTHON if operator == "<" else version <= BASE_PYTHON


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for entry in sorted(path.rglob("*")):
        if entry.is_file() and "__pycache__" not in entry.parts:
            yield entry


def _pip() -> list[str]:
    """pip of the interpreter that runs this, or where that has none, of the `python3` on PATH."""
    for python in (sys.executable, "python3", "/usr/bin/python3"):
        if succeeds([python, "-m", "pip", "--version"]):
            return [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    raise ClusterError("no pip here; install it with your distribution's python3-pip package")
