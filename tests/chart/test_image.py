"""The lock files and the Dockerfile hold what the image's supply chain promises."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

LOCKS = ("requirements.lock", "requirements-dev.lock")


def _locked(text):
    """Requirement lines of a lock, each with the number of its hashes."""
    entries = re.findall(
        r"^([a-z0-9][^\s;\\]*==[^\s;\\]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    return {Requirement(requirement): hashes.count("--hash=") for requirement, hashes in entries}


def _declared(repository, *extras):
    """What the project asks for, with extras that themselves name extras of the project (`flyball[lab]`) resolved."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    found = [Requirement(each) for each in wanted]
    more = [extra for each in found if each.name == project["name"] for extra in each.extras]
    return [each for each in found if each.name != project["name"]] + (_declared(repository, *more) if more else [])


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_path(repository, lock):
    text = (repository / lock).read_text()
    assert (
        re.findall(r"\w+://|--(?:extra-)?index-url|--find-links(?! )|^-[ief] |(?<![\w-])/\w+", text, re.MULTILINE) == []
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash(repository, lock):
    text = (repository / lock).read_text()
    locked = _locked(text)
    assert len(locked) == len(re.findall(r"^[a-z0-9]\S*==", text, re.MULTILINE)) > 0
    assert all(count > 0 for count in locked.values())


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", ()), ("requirements-dev.lock", ("dev",))])
def test_a_lock_satisfies_what_the_project_declares(repository, lock, extras):
    versions = {}
    for requirement in _locked((repository / lock).read_text()):
        versions.setdefault(requirement.name.lower(), set()).add(next(iter(requirement.specifier)).version)
    unmet = [
        str(wanted)
        for wanted in _declared(repository, *extras)
        if not any(wanted.specifier.contains(version) for version in versions.get(wanted.name.lower(), ()))
    ]
    assert unmet == [], "run `make lock`"


def test_developers_and_the_image_use_the_same_versions(repository):
    image, developers = (set(map(str, _locked((repository / lock).read_text()))) for lock in LOCKS)
    assert image <= developers


def test_the_image_runs_as_the_user_that_the_chart_asks_for(repository, render):
    dockerfile = (repository / "operator" / "Dockerfile").read_text()
    context = render().one("Deployment", "flyball")["spec"]["template"]["spec"]["securityContext"]
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == [f"{context['runAsUser']}:{context['runAsGroup']}"]


def test_the_image_installs_only_what_is_hashed_or_was_built_beside_it(repository):
    dockerfile = (repository / "operator" / "Dockerfile").read_text()
    code = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    installs = re.findall(r"pip install ([^\n]*)", code)
    assert len(installs) == 2
    assert all("--no-index" in each for each in installs)
    assert ["--require-hashes" in each or "--no-deps /src/wheels/flyball-" in each for each in installs] == [True, True]
