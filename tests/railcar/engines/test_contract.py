"""What engines ask of a runtime before they use it."""

import json
import subprocess
from pathlib import Path


def test_version_and_features(railcar: Path) -> None:
    version = subprocess.run([railcar, "--version"], check=True, capture_output=True, text=True)
    assert version.stdout.splitlines()[0].split()[1] == "version"
    features = subprocess.run([railcar, "features"], check=True, capture_output=True, text=True)
    assert {"ociVersionMin", "ociVersionMax"} <= set(json.loads(features.stdout))
    assert features.stderr == ""
