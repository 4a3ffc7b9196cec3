"""Folds the schema files of one specification into a single schema in which every object has a name."""

import json
from pathlib import Path
from typing import Any

from bindings.tables import ADDED, PREFIXES, RENAMED, REPLACED, ROOTS, Schema

DROPPED = {"id", "description", "$schema", "media", "format"}
SIMPLE = {"string", "integer", "boolean", "number"}


class SchemaError(Exception):
    """The schemas are not what the tables expect: names the file and the place."""


class Folder:
    """One run over the schema folder of one specification."""

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec = spec
        self.files = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
        self.definitions: dict[str, Schema] = {}
        self.origins: dict[str, str] = {}
        self.applied: set[str] = set()
        for place, extra in ADDED[spec].items():
            self.at(place).update(extra)

    def at(self, place: str) -> Any:
        """The value at `file#/pointer`."""
        file, _, pointer = place.partition("#")
        if file not in self.files:
            raise SchemaError(f"{self.spec}: no schema file {file} (wanted by {place})")
        value = self.files[file]
        for word in pointer.split("/")[1:]:
            if not isinstance(value, dict) or word not in value:
                raise SchemaError(f"{self.spec}: {file} has nothing at {pointer}")
            value = value[word]
        return value

    def fold(self) -> Schema:
        """The single schema: `{"definitions": {...}}`, with roots and everything they reach."""
        for file, name in ROOTS[self.spec].items():
            self.define(name, f"{file}#")
        unused = (set(REPLACED[self.spec]) | set(RENAMED[self.spec])) - self.applied
        if unused:
            raise SchemaError(
                f"{self.spec}: the tables name places that no document reaches: {', '.join(sorted(unused))}"
            )
        return {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {name: self.definitions[name] for name in sorted(self.definitions)},
        }

    def name_of(self, place: str) -> str:
        renamed = RENAMED[self.spec].get(place)
        if renamed:
            self.applied.add(place)
            return renamed
        file, _, pointer = place.partition("#")
        if not pointer.strip("/"):
            return ROOTS[self.spec][file]
        words = [word for word in pointer.split("/") if word]
        items = words[-1] == "items"
        word = words[-2] if items else words[-1]
        word = word.removesuffix("s") if items else word
        return PREFIXES[self.spec].get(file, "") + word[0].upper() + word[1:]

    def define(self, name: str, place: str) -> Schema:
        """A reference to the definition `name`, which is made from `place` the first time."""
        known = self.origins.setdefault(name, place)
        if known != place:
            raise SchemaError(f"{self.spec}: {known} and {place} would both be called {name}")
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = self.object(self.at(place), place)
        return {"$ref": f"#/definitions/{name}"}

    def object(self, schema: Schema, place: str) -> Schema:
        parts = [schema, *schema.get("allOf", [])]
        properties: Schema = {}
        required: list[str] = []
        for index, part in enumerate(parts):
            where = place if index == 0 else f"{place}/allOf/{index - 1}"
            if "$ref" in part:
                target = self.target(part["$ref"], where)
                part = self.at(target)
                where = target
            for key, value in part.get("properties", {}).items():
                properties[key] = self.value(value, f"{where}/properties/{key}")
            required += part.get("required", [])
        folded: Schema = {"type": "object", "properties": properties}
        if required:
            folded["required"] = required
        return folded

    def target(self, reference: str, place: str) -> str:
        file, _, pointer = reference.partition("#")
        return f"{file or place.partition('#')[0]}#{pointer}"

    def value(self, schema: Schema, place: str) -> Schema:
        """What a property holds: simple schemas inline, objects with properties by reference."""
        replaced = REPLACED[self.spec].get(place)
        if replaced is not None:
            self.applied.add(place)
            return replaced if "$ref" not in replaced else self.value(replaced, place + "/replaced")
        if "$ref" in schema:
            target = self.target(schema["$ref"], place)
            return self.value(self.at(target), target)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                # Every alternative in these schemas is one type, or that and null; optional fields take null anyway.
                kept = [part for part in schema[key] if part.get("type") != "null"]
                if len(kept) != 1:
                    raise SchemaError(f"{self.spec}: {place} has {len(kept)} alternatives")
                return self.value(kept[0], f"{place}/{key}/0")
        if "properties" in schema or "allOf" in schema:
            return self.define(self.name_of(place), place)
        kind = schema.get("type")
        if kind == "array":
            items = self.value(schema["items"], f"{place}/items")
            return {key: value for key, value in schema.items() if key not in DROPPED} | {"items": items}
        if kind == "object":
            return self.mapping(schema, place)
        if kind in SIMPLE:
            return {key: value for key, value in schema.items() if key not in DROPPED}
        if not schema.keys() - DROPPED and place.endswith("#"):
            return self.define(self.name_of(place), place)
        raise SchemaError(f"{self.spec}: {place} is of a kind this tool does not know: {sorted(schema)}")

    def mapping(self, schema: Schema, place: str) -> Schema:
        if "additionalProperties" in schema:
            values = self.value(schema["additionalProperties"], f"{place}/additionalProperties")
        elif "patternProperties" in schema:
            (pattern,) = schema["patternProperties"]
            values = self.value(schema["patternProperties"][pattern], f"{place}/patternProperties/{pattern}")
        else:
            return {"type": "object"}
        return {"type": "object", "additionalProperties": values}
