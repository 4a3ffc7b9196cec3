"""Nothing of the library outlives its program, and no change that the program makes to itself disturbs it."""

import signal
import subprocess
import sys
import time

import pytest

WAIT = 60


def gone(pid):
    """Wait until a process is no more, not even as a zombie's name: its command line is empty then."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if not file.read():
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


# The helper and all that it has forked for commands to come: each is told to the test by pid.
TELL = """
from railcar import asking

def family():
    railcar.Container.all(root)
    helper = asking.current().process.pid
    with open(f"/proc/{helper}/task/{helper}/children") as file:
        return [helper, *map(int, file.read().split())]
"""


@pytest.mark.parametrize(
    "way", ["sys.exit(0)", "os._exit(0)", "os.execv('/bin/true', ['true'])", "os.kill(os.getpid(), 15)"]
)
def test_no_helper_is_left_whatever_way_the_program_ends(bundle, program, way):
    said = program(
        TELL
        + f"""
import sys
pid = os.fork()
if pid == 0:
    railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL).delete()
    print(*family(), flush=True)
    {way}
os.waitpid(pid, 0)
"""
    )
    pids = [int(word) for word in said.split()]
    assert len(pids) >= 1
    assert [pid for pid in pids if not gone(pid)] == []


def test_no_helper_is_left_when_the_program_is_killed(bundle, tmp_path):
    text = f"""
import railcar, os, subprocess
root = {str(tmp_path / "state")!r}
{TELL}
railcar.Container.create({str(bundle)!r}, root=root, stdout=subprocess.DEVNULL).delete()
print(*family(), flush=True)
signal = __import__("signal")
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert pids
    assert [pid for pid in pids if not gone(pid)] == []


def test_containers_outlive_the_program_and_belong_to_the_next(program):
    program("""
        railcar.Container.create(bundle, "box", root=root, stdout=subprocess.DEVNULL).start()
    """)
    program("""
        box = railcar.Container("box", root)
        assert box.status == "running"
        box.kill("KILL")
        assert box.wait(60) is None
        box.delete()
    """)


def test_the_exit_code_dies_with_the_helper_but_nobody_waits_for_ever(program):
    program("""
        from railcar import asking
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            helper = asking.current().process
            helper.kill()
            helper.wait()
            box.kill("KILL")
            assert box.wait(60) is None
            assert box.status == "stopped"
    """)


def test_a_spare_that_was_killed_is_replaced(program):
    program("""
        import contextlib, signal
        from railcar import asking
        box = railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL).start()
        with box:
            for _ in range(3):
                helper = asking.current().process.pid
                with open(f"/proc/{helper}/task/{helper}/children") as file:
                    for pid in map(int, file.read().split()):
                        if pid != box.pid:
                            with contextlib.suppress(ProcessLookupError):  # of a command that is over
                                os.kill(pid, signal.SIGKILL)
                            while os.path.exists(f"/proc/{pid}"):
                                pass
                assert box.exec(["/bin/true"]).returncode == 0
                assert asking.current().process.pid == helper
    """)


def test_the_directory_is_the_one_of_the_call(program, tmp_path):
    (tmp_path / "somewhere").mkdir()
    program(f"""
        box = railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL)
        box.delete()
        os.chdir({str(tmp_path / "somewhere")!r})
        os.symlink(bundle, "bundle")
        box = railcar.Container.create("bundle", root="state", stdout=subprocess.DEVNULL, options=["--pid-file", "pid"])
        with box:
            assert int(open("pid").read()) == box.pid
            os.chdir("/")
            box.start()
            os.chdir({str(tmp_path / "somewhere")!r})
            os.mkdir("gone")
            os.chdir("gone")
            os.rmdir("../gone")
            assert box.exec(["/bin/sh", "-c", "exit 3"]).returncode == 3
    """)


def test_limits_are_those_of_the_call_and_the_umask_is_the_container_s(program):
    said = program("""
        import resource
        limit = ["/bin/sh", "-c", "ulimit -c; umask"]
        resource.setrlimit(resource.RLIMIT_CORE, (2048, 2048))
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            print(box.exec(limit).stdout.decode(), end="")
            resource.setrlimit(resource.RLIMIT_CORE, (1024, 1024))
            os.umask(0o777)
            print(box.exec(limit).stdout.decode(), end="")
            box.kill("KILL")
            assert box.wait(60) == 137, "the helper of before no longer knows"
    """)
    assert said.split() == ["4", "0022", "2", "0022"]


def test_a_program_that_gave_up_root_has_no_root_in_the_library(program, other_users, tmp_path):
    """The helper of before has root's rights: nothing may be asked of it any more."""
    said = program("""
        from railcar import asking
        with railcar.Container.create(bundle, "box", root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            first = asking.current()
            os.setegid(65534)
            os.seteuid(65534)
            for act in (lambda: box.exec(["/bin/true"]), lambda: railcar.Container.create(bundle, "two", root=root)):
                try:
                    act()
                except railcar.RailcarError as error:
                    print(type(error).__name__, error)
                else:
                    raise SystemExit("done with rights that were given up")
            assert asking.current() is not first
            os.seteuid(0)
            os.setegid(0)
    """)
    assert len(said.splitlines()) == 2, said


def test_a_program_without_streams(program):
    program("""
        saved = os.dup(2)
        for number in range(3):
            os.close(number)
        try:
            with railcar.Container.create(bundle, root=root) as box:
                box.start()
                result = box.exec(["/bin/sh", "-c", "echo out; echo err >&2; exit 5"])
                assert (result.returncode, result.stdout, result.stderr) == (5, b"out\\n", b"err\\n"), result
        except BaseException as error:
            os.write(saved, repr(error).encode())
            raise
    """)


def test_descriptors_are_not_used_up(program):
    program("""
        from railcar import asking

        def count(pid):
            return len(os.listdir(f"/proc/{pid}/fd"))

        def life():
            with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
                box.start()
                assert box.exec(["/bin/true"]).returncode == 0
                box.kill("KILL")
                assert box.wait(60) == 137
                assert box.wait() == 137

        life()
        helper = asking.current().process.pid
        before = count("self")
        for _ in range(5):
            life()
        assert count("self") == before
        # Its own, and the channel of a spare.
        assert count(helper) <= 12, os.listdir(f"/proc/{helper}/fd")
        assert asking.current().process.pid == helper
    """)


def test_an_argument_may_be_longer_than_a_packet(program):
    program("""
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            long = "x" * 120000
            result = box.exec(["/bin/sh", "-c", "echo ${#A} ${#B}"], env={"A": long, "B": long})
            assert result.stdout == b"120000 120000\\n", result
    """)


def test_warnings_of_the_creation_are_kept(program, bundle):
    config = bundle / "config.json"
    config.write_text(config.read_text().replace('"cwd"', '"noNewPriviliges": true, "cwd"'))
    said = program("""
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            print(*box.warnings, sep="\\n")
    """)
    assert "noNewPrivileges" in said


def test_as_many_threads_as_there_are_callers(program):
    program("""
        import threading
        failures = []
        box = railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL).start()

        def work(number):
            try:
                for turn in range(3):
                    result = box.exec(["/bin/sh", "-c", f"echo {number}.{turn}"])
                    assert result.stdout == f"{number}.{turn}\\n".encode(), result
            except BaseException as error:
                failures.append(repr(error))

        with box:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not failures, failures
    """)


def test_no_program_of_a_container_gets_our_descriptors(program):
    said = program("""
        os.set_inheritable(os.open("/etc/passwd", os.O_RDONLY), True)
        with railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL) as box:
            box.start()
            print(sorted(os.listdir(f"/proc/{box.pid}/fd")), box.exec(["/bin/sh", "-c", "echo /proc/self/fd/*"]).stdout)
    """)
    # The shell has a descriptor of its own open: the directory that it lists.
    assert said.split("]")[0] == "['0', '1', '2'"
    assert len(said.split("]")[1].split()) <= 4


def test_the_helper_has_no_descriptor_but_its_own(program):
    program("""
        os.set_inheritable(os.open("/etc/passwd", os.O_RDONLY), True)
        from railcar import asking
        railcar.Container.create(bundle, root=root, stdout=subprocess.DEVNULL).delete()
        helper = asking.current().process.pid
        links = [os.readlink(f"/proc/{helper}/fd/{number}") for number in os.listdir(f"/proc/{helper}/fd")]
        assert "/etc/passwd" not in links, links
    """)
