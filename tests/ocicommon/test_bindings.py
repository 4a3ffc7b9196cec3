"""The models are what the generator makes of the schemas, and they read and write documents exactly."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ocicommon import document, image, runtime
from ocicommon.errors import InvalidDocument
from ocicommon.oci.base import Document

ROOT = Path(__file__).resolve().parents[2]
NO_SCHEMAS = "OCI_SCHEMAS does not name a folder with image-spec and runtime-spec"


@pytest.fixture(scope="module")
def schemas() -> Path:
    folder = Path(os.environ.get("OCI_SCHEMAS") or "/nonexistent")
    if not (folder / "runtime-spec").is_dir():
        pytest.skip(NO_SCHEMAS)
    return folder


@pytest.fixture(scope="module")
def runtime_documents(schemas: Path) -> Path:
    for folder in (schemas / "runtime-spec/test", schemas / "runtime-spec/schema/test"):
        if folder.is_dir():
            return folder
    pytest.skip("the runtime specification's folder has no test documents")


MODELS: dict[str, type[Document]] = {"config": runtime.Config, "state": runtime.State, "features": runtime.Features}


def test_committed_models_are_what_the_generator_makes(schemas: Path) -> None:
    try:
        version = importlib.metadata.version("datamodel-code-generator")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("datamodel-code-generator is not installed here")
    if version != "0.89.0":
        pytest.skip(f"datamodel-code-generator is {version}, the models are made by 0.89.0")
    made = subprocess.run(
        [sys.executable, ROOT / "tools/bindings", "--check", schemas], capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")


@pytest.mark.parametrize("kind", MODELS)
def test_good_runtime_documents_round_trip_exactly(runtime_documents: Path, kind: str) -> None:
    paths = sorted((runtime_documents / kind / "good").glob("*.json"))
    assert paths
    for path in paths:
        assert document.load(path, MODELS[kind]).to_dict() == json.loads(path.read_text()), path


@pytest.mark.parametrize("kind", MODELS)
def test_bad_runtime_documents_are_refused(runtime_documents: Path, kind: str) -> None:
    paths = sorted((runtime_documents / kind / "bad").glob("*.json"))
    assert paths
    for path in paths:
        with pytest.raises(InvalidDocument, match=path.name):
            document.load(path, MODELS[kind])


@pytest.mark.parametrize("module", [image, runtime])
def test_public_modules_export_every_generated_model(module: object) -> None:
    generated = vars(sys.modules[f"ocicommon.oci.{module.__name__.rpartition('.')[2]}"])  # type: ignore[attr-defined]
    models = {
        name
        for name, value in generated.items()
        if isinstance(value, type) and issubclass(value, Document) and value is not Document
    }
    exported = set(module.__all__)  # type: ignore[attr-defined]
    assert models <= exported
    assert all(hasattr(module, name) for name in exported)


def test_typed_dictionaries_need_no_pydantic() -> None:
    code = "import sys, ocicommon.oci.runtime_dicts, ocicommon.oci.image_dicts; print('pydantic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
