"""Releases as containers: deployments under load, kills and faults, during which the live release serves."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from face_assets.core.errors import UserError
from face_assets.serving.containers import builder, haproxy
from face_assets.serving.containers.docker_engine import DockerEngine, DockerUnreachableError
from face_assets.serving.containers.servers import SLOT_LABEL, SLOTS, Size
from face_assets.serving.containers.target import ContainerTarget
from face_assets.serving.target import DeploymentRefusedError
from face_assets.serving.triton_server import Ports
from tests.serving.load import Load, load_server
from tests.waiting import until

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[3] / "deploy"


def load(box: Any, key: str) -> AbstractContextManager[Load]:
    """Asks all the time through the published ports, over HTTP and over gRPC."""
    return load_server(box.kit, lambda: box.asker(key), box.ports.http, {"Authorization": f"Bearer {key}"}, grpc=2, http=1)


def kill(container: Any) -> None:
    """Kills as a crash does: the engine restarts the container, which it does not after `docker kill`."""
    container.reload()
    os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)


def restarted(container: Any) -> bool:
    """Returns True when the engine has restarted it after it crashed."""
    container.reload()
    return bool(container.attrs["RestartCount"])


def wait_until_ready(target: Any) -> None:
    """Waits until the engine has restarted what was killed, or for two minutes."""
    until(lambda: target.status().ready, 120)


def test_no_request_fails_through_deployment_rollback_kill_and_refusal(box: Any, live: Any, key: str) -> None:
    second = box.write("v2.0.0")
    golden_requests = {release: box.kit.golden_requests(release) for release in ("v1.0.0", "v2.0.0")}
    gateway, began = live.gateway.container(), time.time()
    with load(box, key) as seen:
        assert until(lambda: seen.answers["v1.0.0"] > 0)
        report = live.deploy(second, golden_requests["v2.0.0"], box.budget(canary_seconds=4.0))
        assert {"canary errors", "canary latency"} <= {check.name for check in report.checks}
        between = dict(seen.answers)
        assert len(box.containers()) == 2  # the gateway, and one release's server
        live.deploy(box.write("v1.0.0"), golden_requests["v1.0.0"], box.budget())  # a rollback
        (server,) = DockerEngine(box.home).containers("server")
        kill(server)  # the engine restarts it; requests wait meanwhile
        assert until(lambda: restarted(server))
        wait_until_ready(live)
        with pytest.raises(DeploymentRefusedError, match="embeddings"):
            live.deploy(second, golden_requests["v1.0.0"], box.budget())  # its results are wrong
        before = seen.answers["v1.0.0"]
        assert until(lambda: seen.answers["v1.0.0"] > before)
    print(f"{sum(seen.answers.values())} requests: {dict(seen.answers)}, wrong: {seen.wrong[:3]}", flush=True)
    assert seen.wrong == []
    assert " 503 " not in gateway.logs(since=began).decode()  # nor did a client have to retry
    assert between["v1.0.0"] > 0 and between["v2.0.0"] > 0
    assert live.status().live.release == "v1.0.0"


def test_servers_side_by_side_share_the_traffic_and_one_that_is_killed_is_not_missed(box: Any, live: Any, key: str) -> None:
    two = box.target(size=Size(2, 1024, 1.0))
    gateway, began = live.gateway.container(), time.time()
    with load(box, key) as seen:
        box.deploy(two, "v2.0.0")  # from one server to two: other places, so the gateway is reloaded
        servers = [f"{two._state()[2]}{number}" for number in (0, 1)]
        before = {server: two.gateway.counts()["grpc", server].requests for server in servers}
        share = until(lambda: all(two.gateway.counts()["grpc", server].requests > before[server] for server in servers))
        kill(DockerEngine(box.home).containers("server")[0])
        answered = seen.answers["v2.0.0"]
        assert until(lambda: seen.answers["v2.0.0"] > answered, 10), "the other answers meanwhile"
        wait_until_ready(two)
        box.deploy(live, "v1.0.0")  # and back to one
    assert share
    assert seen.wrong == []
    assert " 503 " not in gateway.logs(since=began).decode()
    assert (live.status().live.release, live.status().ready, len(box.containers())) == ("v1.0.0", True, 2)


def test_a_candidate_that_dies_with_its_share_of_the_traffic_is_refused_and_nobody_notices(box: Any, live: Any, key: str) -> None:
    def kill_the_candidate(seen: Load) -> None:
        until(lambda: seen.answers["v2.0.0"] > 0, 300)
        for container in DockerEngine(box.home).containers("server"):
            if container.labels[SLOT_LABEL] != live._state()[2]:
                kill(container)

    with load(box, key) as seen, ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_the_candidate, seen)
        with pytest.raises(DeploymentRefusedError, match="canary"):
            live.deploy(box.write("v2.0.0"), box.kit.golden_requests("v2.0.0"), box.budget(canary_seconds=30.0))
        killing.result()
        before = seen.answers["v1.0.0"]
        assert until(lambda: seen.answers["v1.0.0"] > before)
    assert seen.wrong == []
    assert seen.answers["v2.0.0"] > 0
    assert (live.status().live.release, live.status().ready, len(box.containers())) == ("v1.0.0", True, 2)


def test_a_candidate_that_is_slow_with_its_share_of_the_traffic_is_refused(box: Any, live: Any, key: str) -> None:
    """It is fast with the platform's own questions."""
    version = box.write("v2.0.0", commit="slow")
    asked = "            if len(photos) == 1:\n"
    slow = f"            time.sleep(0 if 'probe' in request.parameters() else 2.5)\n{asked}"
    box.kit.change(box.folder / "models", version, "face_recognizer", {asked: slow})
    budget = box.budget(canary_seconds=60.0, max_latency_ms=2000.0)
    with load(box, key) as seen, pytest.raises(DeploymentRefusedError, match="canary latency"):
        live.deploy(version, box.kit.golden_requests("v2.0.0"), budget)
    assert seen.wrong == []
    assert (live.status().live.release, live.status().ready, len(box.containers())) == ("v1.0.0", True, 2)


def test_what_a_killed_deployment_left_is_mended_by_the_next_start(box: Any, live: Any, key: str) -> None:
    """Killed in the middle of the canary: a candidate runs, and gets traffic."""
    other = next(slot for slot in SLOTS if slot != live._state()[2])
    version = box.write("v2.0.0")
    live.servers.start(other, live.build(version), version, {})
    live.gateway.execute(haproxy.admit(live.servers.server_names(other), 100))
    seen, ends = set(), time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < ends:
        seen.add(box.asker(key).identify(box.kit.photo(0, 2)).release)
    assert seen == {"v1.0.0", "v2.0.0"}
    box.target().start()
    assert {box.asker(key).identify(box.kit.photo(0, 2)).release for _ in range(6)} == {"v1.0.0"}
    assert len(box.containers()) == 2


def test_a_gateway_that_was_killed_comes_back_with_what_is_live_and_one_that_is_gone_with_the_next_start(
    box: Any, live: Any, key: str
) -> None:
    kill(live.gateway.container())
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with suppress(UserError):
            if box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0":
                break
        time.sleep(0.2)
    assert live.status().ready
    live.gateway.container().remove(force=True)
    assert live.status().running is False
    live.start()
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0"


def test_two_deployments_at_once_go_one_after_another(box: Any, live: Any) -> None:
    versions = {release: box.write(release) for release in ("v2.0.0", "v1.0.0")}
    budget = box.budget(canary_seconds=0.0)
    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(box.target().deploy, version, box.kit.golden_requests(release), budget) for release, version in versions.items()
        ]
    assert all(one.result().passed for one in done)
    assert live.status().ready
    assert len(box.containers()) == 2


def test_too_little_memory_is_named_and_who_asks_what_is_live_does_not_notice(box: Any, live: Any, key: str) -> None:
    small = box.target(size=Size(1, 80, 2.0))
    with load(box, key) as seen, pytest.raises(DeploymentRefusedError, match=r"out of memory at 80 MiB .FACE_ASSETS_DOCKER_MEMORY_MB"):
        small.deploy(box.write("v2.0.0"), box.kit.golden_requests("v2.0.0"), box.budget())
    assert seen.wrong == []
    assert set(seen.answers) == {"v1.0.0"}
    assert (live.status().live.release, live.status().ready, len(box.containers())) == ("v1.0.0", True, 2)
    box.deploy(live, "v2.0.0")  # with memory enough


def test_a_sweep_keeps_what_is_live_and_what_was_before(box: Any, live: Any) -> None:
    first = live.status().live
    second = box.deploy(live, "v2.0.0")
    others = [live.build(box.kit.write(box.folder / "models", "v1.0.0", commit=commit)) for commit in ("c", "d")]
    live.sweep(keep=0)
    assert all(live.docker.image(name) is None for name in others)
    assert live.docker.image(live.images.name_of(first)) and live.docker.image(live.images.name_of(second))
    box.deploy(live, "v1.0.0")


def test_an_image_that_is_gone_is_built_again(box: Any, live: Any) -> None:
    version = live.status().live
    name = live.images.name_of(version)
    live.servers.remove_others(None)
    live.docker.client.images.remove(name, force=True)
    assert live.status().ready is False
    live.start()
    assert live.status().ready


def test_another_image_of_what_is_live_takes_its_place_as_a_release_does(box: Any, live: Any, key: str, tmp_path: Path) -> None:
    version = live.status().live
    changed = box.target()
    changed.images.recipe = replace(changed.images.recipe, deploy=Path(shutil.copytree(DEPLOY, tmp_path / "deploy")))
    with open(tmp_path / "deploy" / "server" / "serve.py", "a", encoding="utf-8") as file:
        file.write("# another\n")
    (before,) = DockerEngine(box.home).containers("server")
    with load(box, key) as seen:
        changed.start()
        assert [container.id for container in DockerEngine(box.home).containers("server")] == [before.id]
        assert live.is_current() and not changed.is_current()
        changed.deploy(version, box.kit.golden_requests(version.release), box.budget())
    assert changed.is_current() and not live.is_current()
    assert seen.wrong == [] and set(seen.answers) == {version.release}


def test_a_live_release_that_cannot_be_started_does_not_bar_the_way_to_another(make_box: Callable[[], Any]) -> None:
    mine = make_box()
    target = mine.target()
    version = mine.deploy(target, "v1.0.0")
    weights = mine.folder / "models" / "face_embedder" / str(version.number) / "embedder.bin"
    content = weights.read_bytes()
    weights.unlink()  # it may be a link to the original
    weights.write_bytes(content[:100])
    target.servers.remove_others(None)
    target.docker.client.images.remove(target.images.name_of(version), force=True)
    with pytest.raises(UserError, match="ended with status"):
        target.start()
    mine.deploy(target, "v2.0.0")
    assert (target.status().live.release, target.status().ready, len(mine.containers())) == ("v2.0.0", True, 2)


def test_containers_in_the_way_are_named_or_replaced(box: Any, make_box: Callable[[], Any]) -> None:
    mine = make_box()
    target, run = mine.target(), ["docker", "run", "-d", "--name", f"face-assets-{mine.home}-gateway"]
    stale = [*run, "--label", f"face-assets.home={mine.home}", "--label", "face-assets.role=gateway", mine.base, "sleep", "600"]
    subprocess.run([*run, mine.base, "sleep", "600"], check=True, capture_output=True)
    with pytest.raises(UserError, match="another origin"):
        target.start()
    subprocess.run(["docker", "rm", "-f", f"face-assets-{mine.home}-gateway"], check=True, capture_output=True)
    subprocess.run(stale, check=True, capture_output=True)
    target.start()  # one of ours is replaced
    assert target.gateway.container().labels["face-assets.image"] == target.images.gateway()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        elsewhere = mine.listeners(target, ports=Ports(taken.getsockname()[1], mine.ports.grpc, mine.ports.metrics))
        before = target.gateway.container().id
        with pytest.raises(UserError, match="FACE_ASSETS_HTTP_PORT"):
            elsewhere.start()
        assert target.gateway.container().id == before  # the old ports go on being served
    elsewhere.start()  # once the port is free
    assert target.stop()
    assert mine.containers() == []


class Way:
    """A connection to the engine that can be cut."""

    def __init__(self, folder: Path):
        self.socket = folder / "docker.sock"
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.socket))
        self.server.listen(50)
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect("/var/run/docker.sock")
                self.open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Cuts the connection to the engine."""
        self.socket.unlink(missing_ok=True)
        for one in [self.server, *self.open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    made = Way(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{made.socket}")
    yield made
    made.cut()


def test_an_engine_that_goes_away_in_a_build_or_deployment_gets_a_sentence_and_the_next_run_mends_it(
    box: Any, live: Any, way: Way, monkeypatch: pytest.MonkeyPatch, key: str, tmp_path: Path
) -> None:
    def cut_when(said: str) -> None:
        cut.append(said)
        way.cut()

    cut: list[str] = []
    lines: list[str] = []
    (tmp_path / "Dockerfile").write_text(f"FROM {box.base}\nRUN sleep 20 && echo {tmp_path}\n")
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(builder.build, tmp_path / "Dockerfile", tmp_path, "face-assets-test/cut:1", None, {}, {}, lines.append)
        assert until(lambda: any("RUN sleep" in line for line in lines))
        cut_when("build")
        with pytest.raises(UserError, match=r"engine|built"):
            building.result()
    assert live.docker.image("face-assets-test/cut:1") is None
    other = Way(tmp_path)
    there = box.target()
    monkeypatch.setattr(ContainerTarget, "_watch", lambda *_: other.cut() or there.gateway.counts())
    with pytest.raises(DockerUnreachableError, match="systemctl start docker"):
        there.deploy(box.write("v2.0.0"), box.kit.golden_requests("v2.0.0"), box.budget())
    with pytest.raises(DockerUnreachableError):
        box.target().status()
    assert box.asker(key).identify(box.kit.photo(0, 2)).release == "v1.0.0"  # callers notice nothing
    monkeypatch.undo()
    box.target().start()
    assert (live.status().live.release, live.status().ready, len(box.containers())) == ("v1.0.0", True, 2)


def test_a_release_adds_what_is_new_in_it_and_a_registry_takes_it(
    box: Any, live: Any, tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    first = live.docker.image(live.build(live.status().live))
    version = box.write("v1.0.0", commit="e")  # the same engine and detector
    built = live.images.release(version, {})
    layers, others = (one.attrs["RootFS"]["Layers"] for one in (live.docker.image(built.name), first))
    assert built.made_now and built.added_megabytes < 20
    assert layers[:-1] == others[:-1]  # the configuration names the release
    assert layers[-1] != others[-1]
    assert "release" in Path(built.log).read_text()
    (port,) = free_ports(1)
    config = tmp_path / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n")
    with pytest.raises(UserError, match="FACE_ASSETS_DOCKER_REGISTRY"):
        live.images.push(built.name, f"localhost:{port}")
    with subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as registry:
        until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        digest = live.images.push(built.name, f"localhost:{port}")
        registry.terminate()
    assert digest.startswith("sha256:")
    live.images.sweep({live.images.name_of(live.status().live)})
    assert live.docker.image(built.name) is None
