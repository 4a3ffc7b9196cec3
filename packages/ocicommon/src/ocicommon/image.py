"""The OCI image specification's documents as pydantic models, and how to make descriptors."""

from collections.abc import Mapping
from typing import BinaryIO

from ocicommon import digest as digests
from ocicommon.oci.image import (
    Descriptor,
    History,
    Image,
    ImageConfig,
    Index,
    Layout,
    Manifest,
    Platform,
    RootFS,
)

__all__ = [
    "Descriptor",
    "History",
    "Image",
    "ImageConfig",
    "Index",
    "Layout",
    "Manifest",
    "Platform",
    "RootFS",
    "describe",
    "describe_stream",
]


def describe(
    content: bytes,
    media_type: str,
    *,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str | None = None,
    platform: Platform | None = None,
) -> Descriptor:
    """The descriptor of `content`, with the members that are given and no others."""
    return _descriptor(digests.of(content), len(content), media_type, annotations, artifact_type, platform)


def describe_stream(
    stream: BinaryIO,
    media_type: str,
    *,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str | None = None,
    platform: Platform | None = None,
) -> Descriptor:
    """The descriptor of everything that `stream` still holds."""
    digest, size = digests.of_stream(stream)
    return _descriptor(digest, size, media_type, annotations, artifact_type, platform)


def _descriptor(
    digest: str,
    size: int,
    media_type: str,
    annotations: Mapping[str, str] | None,
    artifact_type: str | None,
    platform: Platform | None,
) -> Descriptor:
    members: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": size}
    if annotations:
        members["annotations"] = dict(annotations)
    if artifact_type:
        members["artifactType"] = artifact_type
    if platform:
        members["platform"] = platform
    return Descriptor.from_dict(members)
