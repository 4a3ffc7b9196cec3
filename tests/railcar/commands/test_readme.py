"""What the README shows works as it stands."""

import os
import subprocess
from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "packages/railcar/README.md"


@pytest.mark.root
def test_the_first_containers_of_the_readme(railcar, tmp_path):
    if not os.path.exists("/bin/busybox"):
        pytest.skip("needs busybox")
    blocks = [part.partition("```")[0] for part in README.read_text().split("```sh\n")[1:]]
    assert len(blocks) == 2
    # Ids and state of the test's own; the words are those of the page.
    own = f'railcar() {{ "{railcar}" --root "{tmp_path}/state" "$@"; }}\n'
    output = tmp_path / "output"
    with output.open("w") as file:
        argv = ["sh", "-e", "-c", own + "\n".join(blocks)]
        done = subprocess.run(
            argv, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=120, check=False
        )
    subprocess.run([railcar, "--root", f"{tmp_path}/state", "delete", "--force", "stays"], check=False, timeout=120)
    said = output.read_text()
    assert done.returncode == 0, said
    assert "nothing to mend" in said
    assert "hello from inside" in said
    assert "stays: running" in said
