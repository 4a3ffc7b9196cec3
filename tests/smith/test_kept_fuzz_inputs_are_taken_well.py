"""What fuzzing found worth keeping (tools/fuzz.py) is read again: a result or one sentence, never anything else."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest
from smith.errors import SmithError

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/smith/corpus"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "tools/fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", ["tar", "elf", "rpm"])
def test_the_corpus_is_read_or_refused(fuzz: ModuleType, target: str) -> None:
    read, refused = 0, []
    for path in sorted((CORPUS / target).iterdir()):
        try:
            fuzz.TARGETS[target](path.read_bytes())
            read += 1
        except SmithError as error:
            refused.append(str(error))
    assert read >= 3
    assert len(refused) >= 5
    assert not [sentence for sentence in refused if "\n" in sentence]


@pytest.mark.parametrize("target", ["tar", "elf", "rpm"])
def test_a_short_run_finds_nothing_that_breaks(
    fuzz: ModuleType, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    chance = random.Random(5)
    for _ in range(600):
        data = fuzz.changed(chance.choice(corpus), corpus, chance)
        try:
            fuzz.TARGETS[target](data)
        except SmithError:
            continue
