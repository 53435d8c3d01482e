"""CRDs are part of the release, so that `helm upgrade` upgrades them, and `helm uninstall` keeps them."""

import yaml

from flyball.api.crd import RESOURCES, custom_resource_definition

NAMES = {resource.names.crd_name for resource in RESOURCES}


def test_every_crd_is_an_object_of_the_release_and_kept(render):
    crds = render().all("CustomResourceDefinition")
    assert {each["metadata"]["name"] for each in crds} == NAMES, "`flyball crd render` writes templates/crds/"
    for each in crds:
        assert each["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_helm_changes_nothing_in_a_definition(render):
    for resource in RESOURCES:
        definition = yaml.safe_load(yaml.safe_dump(custom_resource_definition(resource)))
        assert render().one("CustomResourceDefinition", resource.names.crd_name)["spec"] == definition["spec"]


def test_something_else_may_install_them(render):
    assert render({"crds": {"install": False}}).all("CustomResourceDefinition") == []


def test_none_lies_where_helm_would_never_upgrade_it(chart):
    assert not (chart / "crds").exists()
