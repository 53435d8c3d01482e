"""What every kind of the group shares: its names, its place in the API and how kubectl prints it."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, Rule

GROUP = "flyball.dev"
VERSION = "v1alpha1"
CATEGORY = "flyball"


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """How a kind is called."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    scope: Literal["Namespaced", "Cluster"]

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """One column of `kubectl get`; those of priority 1 appear with `-o wide`."""

    name: str
    json_path: str
    description: str
    kind: Literal["string", "integer", "date"] = "string"
    priority: int = 0

    def to_wire(self) -> dict[str, Any]:
        """The column as the CustomResourceDefinition writes it."""
        column: dict[str, Any] = {"name": self.name, "type": self.kind, "jsonPath": self.json_path}
        column["description"] = self.description
        return column | ({"priority": self.priority} if self.priority else {})


class Resource(ApiModel):
    """An object with metadata, spec and status."""

    names: ClassVar[ResourceNames]
    columns: ClassVar[tuple[PrinterColumn, ...]]
    transitions: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between an object and what it was before: CEL alone, since only the API server knows both."""

    metadata: dict[str, Any] = Field(default_factory=dict)
