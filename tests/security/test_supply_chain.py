"""What is tested is what is locked for the image, `make sbom` names all of it, and `make audit` never passes over what
it could not look up.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def _locked(path: Path) -> dict[Requirement, frozenset[str]]:
    """Each requirement of a lock and the hashes of its files."""
    text = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        requirement, *hashes = (part.strip() for part in line.split("--hash=sha256:"))
        found[Requirement(requirement)] = frozenset(hashes)
    return found


def _recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", text, re.MULTILINE)
    assert found, f"no target {target}"
    return [line.strip() for line in found[1].splitlines()]


def test_the_bill_of_materials_holds_every_locked_package_with_its_hashes() -> None:
    (command,) = [line for line in _recipe("sbom") if "cyclonedx-py" in line]
    program, *words = command.replace("$(BIN)", str(Path(sys.executable).parent)).split()
    words[words.index("--output-file") + 1] = "-"
    made = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    bill = json.loads(made.stdout)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "flyball")
    locked = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", LOCK.read_text(), re.MULTILINE))
    assert {each["name"]: each["version"] for each in bill["components"]} == locked
    for each in bill["components"]:
        assert each["purl"].startswith(f"pkg:pypi/{each['name']}@{each['version']}")
        assert any(reference.get("hashes") for reference in each["externalReferences"]), each["name"]


def test_an_audit_that_could_not_look_something_up_fails() -> None:
    (command,) = _recipe("audit")
    assert "pip-audit" in command
    assert {"--strict", "--require-hashes", "requirements.lock"} <= set(command.split())


def test_what_is_tested_is_what_the_image_is_made_of() -> None:
    image, tested = _locked(LOCK), _locked(DEV_LOCK)
    assert {(str(each), hashes) for each, hashes in image.items()} <= {(str(r), h) for r, h in tested.items()}
    here = [each for each in tested if each.marker is None or each.marker.evaluate()]
    assert {each.name: version(each.name) for each in here} == {each.name: str(each.specifier)[2:] for each in here}
