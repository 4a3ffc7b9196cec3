"""OCI image and runtime specifications as pydantic models, and typed Linux system calls.

Nothing is imported here: each module is loaded when it is used; only `image`, `runtime` and `document` need pydantic.

- `image`, `runtime`: the specifications' documents as models
- `oci.image_dicts`, `oci.runtime_dicts`: the same as typed dictionaries
- `document`: loads a document, with errors that name line, column and member
- `digest`, `reference`, `platform`, `canonical`, `mediatypes`, `convert`: pure functions over plain values
- `linux`: system calls
- `errors`: what all of them raise
"""

__version__ = "0.1.0"
