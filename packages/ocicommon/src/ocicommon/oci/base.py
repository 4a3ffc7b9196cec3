"""What every generated model has in common."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A part of a specification's document.

    Unknown members are kept, so that a document survives a round trip; known ones are checked strictly (no "1" for 1).
    Members are attributes in snake_case; the JSON names are accepted too.
    """

    model_config = ConfigDict(extra="allow", populate_by_name=True, strict=True, defer_build=True)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """The model of a parsed JSON document; raises `pydantic.ValidationError`."""
        return cls.model_validate(document)

    def to_dict(self) -> dict[str, Any]:
        """Exactly the members that were given, by their JSON names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
