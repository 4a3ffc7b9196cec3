"""Which container an ID means, from what engines were recorded to say of theirs. No engine is needed."""

from __future__ import annotations

import datetime
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crashcart import procfs
from crashcart.errors import CrashcartError
from crashcart.targets import containerd, docker, http, lxc, nspawn, podman, records, state
from crashcart.targets.container import Container, choose, matches, split_engine
from crashcart.targets.times import age, seconds

FULL = "4f9a0c2b1d3e" + "0" * 52
OTHER = "4f9b" + "1" * 60


def container(engine: str, id: str, pid: int, name: str = "") -> Container:
    return Container(engine, id, pid, name=name)


def test_id_name_and_unique_prefix_are_the_container() -> None:
    web, cache = container("docker", FULL, 10, "web"), container("docker", OTHER, 11, "cache")
    assert choose("web", [web, cache]) is web
    assert choose(FULL, [web, cache]) is web


def test_exact_name_wins_over_a_prefix_of_another() -> None:
    web, cache = container("docker", FULL, 10, "4f9b"), container("docker", OTHER, 11, "cache")
    assert choose("4f9b", [web, cache]) is web


def test_ambiguous_prefix_lists_the_candidates() -> None:
    with pytest.raises(CrashcartError) as error:
        choose("4f9", [container("docker", FULL, 10, "web"), container("podman", OTHER, 11, "cache")])
    said = str(error.value)
    assert "'4f9' is ambiguous" in said
    assert "docker web (4f9a0c2b1d3e), pid 10" in said
    assert "podman cache (4f9b11111111), pid 11" in said


def test_process_told_of_twice_is_one_container() -> None:
    first = container("docker", FULL, 10, "web")
    assert choose("4f9a", [first, container("containerd", FULL, 10), container("runc", FULL, 10)]) is first


def test_nothing_found_names_the_way_out() -> None:
    with pytest.raises(CrashcartError, match="no running container 'gone': `crashcart list`"):
        choose("gone", [])


def test_engine_may_be_named() -> None:
    engines = ("docker", "pid")
    assert split_engine("docker:web", engines) == ("docker", "web")
    assert split_engine("pod:web", engines) == ("", "pod:web")
    assert split_engine("docker:", engines) == ("", "docker:")


def test_namespace_may_be_named() -> None:
    assert matches("k8s.io/4f9a", FULL, namespace="k8s.io")
    assert not matches("other/4f9a", FULL, namespace="k8s.io")


def test_runc_record_is_understood() -> None:
    record = {
        "id": "a",
        "init_process_pid": 4711,
        "init_process_start": 99,
        "created": "2026-01-02T03:04:05.123456789Z",
        "config": {"labels": ["bundle=/bundles/a"]},
    }
    found = state.understand(record, "", "a", "/run/runc")
    assert found is not None
    assert (found.engine, found.pid, found.start_time, found.config) == ("runc", 4711, 99, "/bundles/a/config.json")
    assert found.created == pytest.approx(1767323045.123456)


def test_crun_railcar_and_youki_records_are_understood() -> None:
    crun = {"pid": 5, "process-start-time": 7, "cgroup-path": "/x", "bundle": "/b", "created": "2026-01-02T03:04:05Z"}
    railcar = {"ociVersion": "1.3.0", "id": "a", "pid": 6, "start_time": 8, "bundle": "/b"}
    youki = {"ociVersion": "1.0.2", "id": "a", "status": "running", "pid": 7, "bundle": "/b"}
    for record, engine, pid, start in ((crun, "crun", 5, 7), (railcar, "railcar", 6, 8), (youki, "youki", 7, 0)):
        found = state.understand(record, "", "a", "/run/x")
        assert found is not None
        assert (found.engine, found.pid, found.start_time, found.config) == (engine, pid, start, "/b/config.json")


@pytest.mark.parametrize(
    "record", [None, [], {}, {"pid": 5}, {"ociVersion": "1", "pid": 0}, {"ociVersion": "1", "pid": "x"}]
)
def test_record_without_a_process_is_none(record: object) -> None:
    assert state.understand(record, "", "a", "/run/x") is None


def test_state_directory_is_searched_by_prefix(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(json.dumps({"ociVersion": "1.0.2", "pid": 3, "bundle": "/b"}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "state.json").write_text("{")
    assert [one.id for one in state.look("", str(tmp_path), "")] == ["alpha", "beta"]
    assert [one.id for one in state.look("", str(tmp_path), "al")] == ["alpha"]


def test_record_without_a_start_time_is_told_from_a_later_process_by_its_age(tmp_path: Path) -> None:
    now = datetime.datetime.fromtimestamp(procfs.started(os.getpid()), datetime.UTC)
    for name, created in (("now", now), ("old", now - datetime.timedelta(days=1))):
        (tmp_path / name).mkdir()
        record = {"ociVersion": "1.0.2", "pid": os.getpid(), "bundle": "/b", "created": created.isoformat()}
        (tmp_path / name / "state.json").write_text(json.dumps(record))
    assert [one.id for one in state.look("youki", str(tmp_path), "")] == ["now"]


def test_containerd_bundle_is_understood_with_kubernetes_names(tmp_path: Path) -> None:
    bundle = tmp_path / "k8s.io" / FULL
    bundle.mkdir(parents=True)
    (bundle / "init.pid").write_text("123")
    annotations = {
        "io.kubernetes.cri.container-name": "web",
        "io.kubernetes.cri.sandbox-name": "shop-0",
        "io.kubernetes.cri.image-name": "docker.io/library/nginx:1",
    }
    (bundle / "config.json").write_text(json.dumps({"annotations": annotations}))
    found = containerd.look(str(bundle))
    assert found is not None
    assert (found.namespace, found.pid, found.name, found.image) == (
        "k8s.io", 123, "shop-0/web", "docker.io/library/nginx:1",
    )  # fmt: skip
    assert containerd.look(str(bundle), "shop-0/web") is not None
    assert containerd.look(str(bundle), "k8s.io/4f9a") is not None
    assert containerd.look(str(bundle), "other") is None


def test_podman_storage_is_understood(tmp_path: Path) -> None:
    text = '[storage]\n# graphroot = "/commented"\ngraphroot = "/here"\nrunroot="/there" # note\n'
    assert podman.understand_configuration(text) == {"graphroot": "/here", "runroot": "/there"}
    record = {
        "id": FULL,
        "names": ["web"],
        "metadata": json.dumps({"image-name": "docker.io/library/nginx:1"}),
        "created": "2026-01-02T03:04:05Z",
    }
    found = podman.understand(record, str(tmp_path), "/here")
    assert (found.name, found.image, found.pid) == ("web", "docker.io/library/nginx:1", 0)


def test_nspawn_machine_is_understood_and_a_virtual_one_left_out() -> None:
    text = "NAME=deb\nSERVICE=systemd-nspawn\nLEADER=42\nCLASS=container\nREALTIME=1700000000000000\n"
    found = nspawn.understand(text)
    assert found is not None
    assert (found.id, found.pid, found.created) == ("deb", 42, 1.7e9)
    assert nspawn.understand(text.replace("container", "vm")) is None


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("-q -M deb -D /srv/root", "deb"),
        ("-Mdeb --image=x.raw", "deb"),
        ("--machine=deb", "deb"),
        ("-D /srv/root/", "root"),
        ("--directory=/srv/root", "root"),
        ("-i /srv/disk.raw --boot", "disk"),
        ("--boot", ""),
    ],
)
def test_nspawn_machine_is_named_as_it_was_started(words: str, name: str) -> None:
    assert nspawn.named(["systemd-nspawn", *words.split()]) == name


def test_lxc_container_is_told_by_its_cgroup() -> None:
    assert lxc.payload({"": "/lxc.payload.web/init.scope"}) == "web"
    assert lxc.payload({"cpu": "/lxc/web"}) == "web"
    assert lxc.payload({"": "/user.slice"}) == ""
    assert lxc.monitored(b"[lxc monitor] /var/lib/lxc web\0", "web") == "/var/lib/lxc"
    assert lxc.monitored(b"[lxc monitor] /var/lib/lxc web\0", "other") == ""
    assert lxc.monitored(b"/sbin/init\0", "web") == ""
    assert procfs.is_first(b"Name:\tinit\nNSpid:\t900\t1\n")
    assert not procfs.is_first(b"Name:\tinit\nNSpid:\t1\n")
    assert not procfs.is_first(b"Name:\tinit\nNSpid:\t900\t7\n")


def test_record_that_would_wait_or_has_another_shape_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="is no record"):
        records.read(str(tmp_path / "fifo"))
    for name, text in (("list", "[1]"), ("deep", "[" * 100000), ("open", '{"pid": '), ("more", "{} {}"), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(text)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/state.json").write_text('{"init_process_pid": 5, "config": []}')
    assert state.look("", str(tmp_path), "") == []


def test_times_of_engines_are_read() -> None:
    assert seconds("2026-01-02T03:04:05.678901234Z") == pytest.approx(1767323045.678901)
    assert seconds("2026-01-02T04:04:05.5+01:00") == pytest.approx(1767323045.5)
    assert seconds("0001-01-01T00:00:00Z") < 0
    assert seconds("never") == 0


def test_age_is_one_number_and_one_unit() -> None:
    assert [age(one) for one in (0, 1, 59, 60, 7200, 90000, 864000)] == [
        "0 seconds", "1 second", "59 seconds", "1 minute", "2 hours", "1 day", "10 days",
    ]  # fmt: skip


@contextmanager
def daemon(path: Path, answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """Listens like an engine; answers each request by what ``answer`` makes of its first line."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                line = connection.recv(65536).split(b"\r\n")[0]
                if line == b"stop":
                    return
                connection.sendall(answer(line))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield str(path)
    finally:
        with socket.socket(socket.AF_UNIX) as stopper:
            stopper.connect(str(path))
            stopper.sendall(b"stop\r\n")
        thread.join()
        listener.close()


def inspected(id: str, name: str, pid: int) -> dict[str, object]:
    return {
        "Id": id,
        "Name": f"/{name}",
        "Created": "2026-01-02T03:04:05.678901234Z",
        "State": {"Pid": pid, "Paused": False, "Running": bool(pid)},
        "Config": {"Image": "nginx:1"},
    }


def answered(value: object, status: str = "200 OK") -> bytes:
    body = json.dumps(value).encode()
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n".encode() + body


def test_docker_is_asked_over_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(line: bytes) -> bytes:
        if line == b"GET /containers/web/json HTTP/1.0":
            return answered(inspected(FULL, "web", 12))
        return answered({"message": "No such container"}, "404 Not Found")

    with daemon(tmp_path / "docker.sock", answer) as path:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        (found,) = docker.find("web")
        assert (found.name, found.pid, found.image, found.place) == ("web", 12, "nginx:1", path)
        assert docker.find("gone") == []


def test_dockers_ambiguous_prefix_gives_all_it_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {FULL: "web", OTHER: "cache"}

    def answer(line: bytes) -> bytes:
        path = line.split()[1].decode()
        if path == "/containers/json":
            return answered([{"Id": id, "Names": [f"/{name}"]} for id, name in both.items()])
        for id, name in both.items():
            if path == f"/containers/{id}/json":
                return answered(inspected(id, name, 12))
        return answered({"message": "multiple IDs found with provided prefix: 4f9"}, "400 Bad Request")

    with daemon(tmp_path / "docker.sock", answer) as path:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        assert sorted(one.name for one in docker.find("4f9")) == ["cache", "web"]


def test_docker_contexts_are_found(tmp_path: Path) -> None:
    meta = tmp_path / "contexts/meta/abc"
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": "mine", "Endpoints": {"docker": {"Host": "unix:///x/d.sock"}}}))
    (tmp_path / "contexts/meta/bad").mkdir()
    (tmp_path / "contexts/meta/bad/meta.json").write_text("[]")
    assert docker.contexts(str(tmp_path / "contexts/meta")) == ["/x/d.sock"]


def test_daemon_elsewhere_is_not_asked() -> None:
    assert docker.sockets({"DOCKER_HOST": "tcp://10.0.0.1:2375"}, "/nowhere") == []


def test_answer_that_is_no_http_is_refused() -> None:
    with pytest.raises(CrashcartError, match="does not speak HTTP"):
        http.parse(b"SSH-2.0-OpenSSH\r\n\r\n", "/x.sock")
    assert http.parse(b"HTTP/1.1 204 No Content\r\n\r\n", "/x.sock") == (204, b"")


def test_name_cannot_leave_its_place_in_the_request() -> None:
    assert http.quote("../images/json?x=1 \r\n") == "..%2Fimages%2Fjson%3Fx%3D1%20%0D%0A"
