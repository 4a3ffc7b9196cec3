"""Makes ocicommon's specification models from the JSON schemas of the OCI image and runtime specifications."""
