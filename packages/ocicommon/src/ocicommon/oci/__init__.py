"""Generated models (`image`, `runtime`) and typed dictionaries (`image_dicts`, `runtime_dicts`); see tools/bindings."""
