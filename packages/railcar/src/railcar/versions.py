"""The versions of the runtime specification that are understood."""

SPEC_VERSION = "1.3.0"
SPEC_MINIMUM = "1.0.0"
