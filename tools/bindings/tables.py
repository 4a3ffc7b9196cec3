"""What the schemas do not say: names of classes, gaps to close, and the types that are written by hand."""

from typing import Any

Schema = dict[str, Any]

TYPES = "ocicommon.oci.types"


def by_hand(name: str) -> Schema:
    """A string whose Python type is `name` of the hand-written module."""
    return {"type": "string", "customTypePath": f"{TYPES}.{name}"}


# Every file's inline and named definitions get the file's prefix; a definition used under another name is in RENAMED.
PREFIXES = {
    "image-spec": {},
    "runtime-spec": {
        "config-linux.json": "Linux",
        "defs-linux.json": "Linux",
        "config-windows.json": "Windows",
        "defs-windows.json": "Windows",
        "config-solaris.json": "Solaris",
        "config-freebsd.json": "FreeBSD",
        "defs-freebsd.json": "FreeBSD",
        "config-vm.json": "VM",
        "defs-vm.json": "VM",
        "config-zos.json": "Zos",
        "defs-zos.json": "Zos",
        "features-linux.json": "FeaturesLinux",
    },
}

# The documents of each specification: file -> class.
ROOTS = {
    "image-spec": {
        "content-descriptor.json": "Descriptor",
        "image-index-schema.json": "Index",
        "image-manifest-schema.json": "Manifest",
        "config-schema.json": "Image",
        "image-layout-schema.json": "Layout",
    },
    "runtime-spec": {
        "config-schema.json": "Config",
        "state-schema.json": "State",
        "features-schema.json": "Features",
    },
}

# "file#/pointer" -> class, where the last word of the pointer would say too little or clash.
RENAMED = {
    "image-spec": {
        "config-schema.json#/properties/config": "ImageConfig",
        "config-schema.json#/properties/rootfs": "RootFS",
    },
    "runtime-spec": {
        "config-linux.json#/linux": "Linux",
        "features-linux.json#/linux": "FeaturesLinux",
        "features-linux.json#/linux/properties/mountExtensions/properties/idmap": "FeaturesLinuxIDMap",
        "config-windows.json#/windows": "Windows",
        "config-solaris.json#/solaris": "Solaris",
        "config-freebsd.json#/freebsd": "FreeBSD",
        "config-vm.json#/vm": "VM",
        "config-zos.json#/zos": "Zos",
        "config-linux.json#/linux/properties/resources/properties/hugepageLimits/items": "LinuxHugepageLimit",
        "config-linux.json#/linux/properties/intelRdt": "LinuxIntelRdt",
        "defs-linux.json#/definitions/TimeOffsets": "LinuxTimeOffset",
        "config-linux.json#/linux/properties/timeOffsets": "LinuxTimeOffsets",
        "config-schema.json#/properties/process/properties/rlimits/items": "Rlimit",
        "config-schema.json#/properties/process/properties/execCPUAffinity": "ExecCPUAffinity",
        "config-solaris.json#/solaris/properties/cappedCPU": "SolarisCappedCPU",
        "defs-vm.json#/definitions/IOMemEntryFormat": "VMIOMemEntry",
    },
}

# Definitions that are replaced whole: the schema is too narrow, too loose, or JavaScript has rounded its bounds.
REPLACED: dict[str, dict[str, Schema]] = {
    "image-spec": {
        "defs-descriptor.json#/definitions/mediaType": by_hand("MediaType"),
        "defs-descriptor.json#/definitions/digest": by_hand("Digest"),
        "defs-descriptor.json#/definitions/size": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "defs-descriptor.json#/definitions/urls": {"type": "array", "items": by_hand("URL")},
        "defs.json#/definitions/base64": by_hand("Base64"),
        "config-schema.json#/properties/created": by_hand("Timestamp"),
        "config-schema.json#/properties/history/items/properties/created": by_hand("Timestamp"),
        "config-schema.json#/properties/rootfs/properties/diff_ids/items": by_hand("Digest"),
        "config-schema.json#/properties/config/properties/Env": {"type": "array", "items": by_hand("EnvironmentEntry")},
        # An index names its manifests by descriptors that have everything a descriptor has, and a platform.
        "image-index-schema.json#/properties/manifests/items": {"$ref": "content-descriptor.json"},
    },
    "runtime-spec": {
        # Permission bits include setuid, setgid and sticky: the schema stops at 0777.
        "defs.json#/definitions/FileMode": {"type": "integer", "minimum": 0, "maximum": 0o7777},
        "defs.json#/definitions/Env": {"type": "array", "items": {"type": "string"}},
        "config-schema.json#/properties/process/properties/oomScoreAdj": {
            "type": "integer",
            "minimum": -1000,
            "maximum": 1000,
        },
        # A runtime names what it knows, which may be newer than any list.
        **{
            f"features-linux.json#/linux/properties/{where}/items": {"type": "string"}
            for where in (
                "namespaces",
                "seccomp/properties/actions",
                "seccomp/properties/operators",
                "seccomp/properties/archs",
                "seccomp/properties/knownFlags",
                "seccomp/properties/supportedFlags",
            )
        },
    },
}

# Properties that the prose of a specification has and its schema lacks.
ADDED: dict[str, dict[str, dict[str, Schema]]] = {
    "image-spec": {
        "content-descriptor.json#/properties": {
            "platform": {"$ref": "image-index-schema.json#/properties/manifests/items/properties/platform"}
        },
    },
    "runtime-spec": {},
}

MODULES = {"image-spec": "image", "runtime-spec": "runtime"}
