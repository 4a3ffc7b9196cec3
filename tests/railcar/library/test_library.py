"""``import railcar``: containers from a Python program, in a process of its own as users have it."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import railcar as package

PAGE = Path(__file__).parents[3] / "packages/railcar/docs/library.md"


def test_the_package_s_names_are_there():
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense


def test_importing_costs_nothing():
    """The command starts by importing the package."""
    text = "import sys; before = set(sys.modules); import railcar; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['railcar']"


def test_a_whole_life(program):
    said = program("""
        reading, writing = os.pipe()
        with railcar.Container.create(bundle, "box", root=root, stdout=writing) as box:
            assert box.status == "created"
            box.start()
            assert os.read(reading, 6) == b"ready\\n"
            assert box.status == "running"
            result = box.exec(["/bin/sh", "-c", "cat; echo error >&2; exit 3"], input=b"x" * 300000)
            assert (result.returncode, result.stdout, result.stderr) == (3, b"x" * 300000, b"error\\n"), result
            assert box.processes() == [box.pid]
            box.kill("KILL")
            assert box.wait(60) == 137
            assert box.wait() == 137
            assert box.status == "stopped"
        try:
            box.status
        except railcar.ContainerMissing as error:
            print(error)
    """)
    assert said.strip().endswith("container does not exist")


def test_exit_codes_are_those_of_the_program(program):
    program("""
        reading, writing = os.pipe()
        with railcar.Container.create(bundle, root=root, stdout=writing) as box:
            box.start()
            os.read(reading, 6)
            box.kill()
            assert box.wait(60) == 7
    """)


def test_errors_are_typed_and_leave_nothing(program, tmp_path):
    said = program("""
        try:
            railcar.Container.create("/nowhere", "box", root=root)
        except railcar.ConfigError as error:
            print(error)
        try:
            railcar.Container.create(bundle, "a/b", root=root)
        except railcar.RailcarError as error:
            print(error)
        with railcar.Container.create(bundle, "box", root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            try:
                box.exec(["/bin/absent"])
            except railcar.RailcarError as error:
                print(error)
            try:
                box.start()
            except railcar.RailcarError as error:
                print(error)
            try:
                box.wait(0.01)
            except TimeoutError:
                print("timeout")
    """).splitlines()
    assert "no config.json" in said[0]
    assert "invalid container id" in said[1]
    assert said[2].endswith("no such file or directory")
    assert "already running" in said[3]
    assert said[4] == "timeout"
    assert os.listdir(tmp_path / "state") == []


def test_threads_do_not_disturb_each_other(program):
    program("""
        import threading
        failures = []

        def life(number):
            try:
                with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
                    box.start()
                    result = box.exec(["/bin/sh", "-c", f"echo {number}; exit {number}"])
                    assert (result.returncode, result.stdout) == (number, f"{number}\\n".encode()), result
                    box.kill("KILL")
                    assert box.wait(60) == 137
            except BaseException as error:
                failures.append(repr(error))

        threads = [threading.Thread(target=life, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
    """)


def test_the_helper_ends_with_the_program_and_comes_back_after_its_death(program):
    said = program("""
        from railcar import asking
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            helper = asking.current().process
            first = helper.pid
            helper.kill()
            helper.wait()
            box.start()
            assert box.exec(["/bin/sh", "-c", "exit 4"]).returncode == 4
            assert asking.current().process.pid != first
        print(asking.current().process.pid)
    """)
    pid = int(said)
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline, "the helper is still there"
        time.sleep(0.01)


def test_a_forked_child_has_a_helper_of_its_own(program):
    program("""
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    code = railcar.Container(box.id, root).exec(["/bin/sh", "-c", "exit 9"]).returncode
                finally:
                    railcar.shutdown()
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
            assert box.exec(["/bin/true"]).returncode == 0
    """)


def test_a_container_of_the_command_is_ours_too(program, railcar, bundle, tmp_path):
    root = str(tmp_path / "state")
    name = f"box-{uuid.uuid4().hex[:8]}"
    argv = [railcar, "--root", root, "run", "-d", "-b", str(bundle), name]
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=120)
    program(f"""
        box = railcar.Container({name!r}, root)
        assert box.status == "running"
        assert [one.id for one in railcar.Container.all(root)] == [{name!r}]
        box.kill("KILL")
        assert box.wait(60) is None
        box.delete()
    """)


def test_the_page_s_examples_run(program, tmp_path):
    blocks = [part.partition("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]
    assert len(blocks) > 4
    # The page names no root: give its containers one of the test's.
    head = "import railcar.cli.main\nrailcar.cli.main.default_root = lambda: root\n"
    program(head + "\n".join(blocks))
