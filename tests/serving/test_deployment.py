"""Deployments under load, kills at each of their moments, and allowed and forbidden requests."""

import dataclasses
import io
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from face_assets.biometrics.quality import fused
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import read_json, write_json
from face_assets.demo.synthetic import draw
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.serving import embedded, model_control
from face_assets.serving import model_repository as models
from face_assets.serving.client import Person, RecognizerClient
from face_assets.serving.embedded import EmbeddedTarget, folders_in_use
from face_assets.serving.model_repository import DETECTOR, EMBEDDER, RECOGNIZER
from face_assets.serving.runtime.photos_of_person import pack_photos
from face_assets.serving.server_environment import ServingEnvironment, ensure_environment
from face_assets.serving.triton_server import SHARED_MEMORY, Ports
from tests.processes import processes_naming
from tests.serving.load import Load, load_server
from tests.waiting import until

pytestmark = pytest.mark.slow


def client(target: EmbeddedTarget) -> RecognizerClient:
    return RecognizerClient(f"127.0.0.1:{target.ports.grpc}")


def load(kit: Any, target: EmbeddedTarget, grpc: int, http: int) -> AbstractContextManager[Load]:
    """Asks all the time from so many threads."""
    return load_server(kit, lambda: client(target), target.ports.http, grpc=grpc, http=http)


def test_a_first_deployment_answers_as_offline(kit: Any, target: EmbeddedTarget) -> None:
    version = kit.deploy(target, "v1.0.0")
    status = target.status()
    assert (status.running, status.ready, status.live) == (True, True, version)
    asker = client(target)
    asker.require_ready()
    assert asker.live_release() == "v1.0.0"
    for golden in kit.golden_requests("v1.0.0"):
        answer = asker.identify(golden.content)
        assert answer.release == "v1.0.0"
        assert answer.faces[0].embedding @ golden.embedding > 0.9999
        assert answer.faces[0].identity == golden.identity
        assert answer.faces[0].score == pytest.approx(golden.score, abs=1e-4)


def test_a_swap_and_a_rollback_under_load_lose_and_mix_nothing(kit: Any, target: EmbeddedTarget) -> None:
    first, second = kit.deploy(target, "v1.0.0"), kit.write(target.models, "v2.0.0")
    golden_requests = {release: kit.golden_requests(release) for release in ("v1.0.0", "v2.0.0")}
    with load(kit, target, grpc=4, http=1) as seen:
        for version in (second, first):
            before = sum(seen.answers.values())
            began = time.monotonic()
            target.deploy(version, golden_requests[version.release], kit.budget)
            seconds = time.monotonic() - began
            print(f"to {version.release} in {seconds:.1f} s, {sum(seen.answers.values()) - before} answers meanwhile")
            assert client(target).identify(kit.photo(0, 2)).release == version.release
    assert seen.wrong == []
    assert min(seen.answers["v1.0.0"], seen.answers["v2.0.0"]) > 5
    status = target.status()
    assert (status.live, status.previous) == (first, second)


def test_a_release_of_another_gallery_alone_is_served_by_the_loaded_networks(kit: Any, target: EmbeddedTarget, tmp_path: Path) -> None:
    """The networks keep their processes, through a kill of the server, a sweep and the way back."""
    first = kit.deploy(target, "v1.0.0")
    networks = network_processes(target)
    bundle = shutil.copytree(kit.bundle("v1.0.0"), tmp_path / "v1.1.0")
    found = np.stack([kit.embed(bundle, kit.photo(person, 0)) for person in (0, 1, 3)])
    write_gallery(templates_of(found, [f"v1.1.0 {person}" for person in (0, 1, 3)]), bundle)
    write_json(bundle / "recognizer.json", {**read_json(bundle / "recognizer.json"), "identification_threshold": -0.6})
    before = kit.golden_requests("v1.0.0")
    golden = [replace(one, identity=one.identity.replace("v1.0.0", "v1.1.0"), threshold=-0.6) for one in before]
    second = kit.write(target.models, "v1.1.0", bundle)
    with load(kit, target, grpc=2, http=0) as seen:
        target.deploy(second, golden, kit.budget)
    assert seen.wrong == []
    assert set(seen.answers) == {"v1.0.0", "v1.1.0"}
    live = target.status().live
    assert live == replace(second, detector=first.number_of(DETECTOR), embedder=first.number_of(EMBEDDER))
    assert network_processes(target) <= networks, "no new one"
    for number in range(3):
        kit.write(target.models, "v2.0.0", commit=f"{number}")
    (target.models / DETECTOR / str(second.number)).rename(tmp_path / "aside")  # not what it is loaded from
    models.sweep(target.models, {second.number}, folders_in_use(target.root))
    os.kill(target.status().pid or 0, signal.SIGKILL)
    while target.status().running:
        time.sleep(0.05)
    target.start()
    answer = client(target).identify(golden[0].content)
    assert (answer.release, answer.faces[0].identity) == ("v1.1.0", golden[0].identity)
    assert target.check_live(golden, kit.budget).passed
    kit.deploy(target, "v1.0.0")
    assert client(target).identify(golden[0].content).faces[0].identity == before[0].identity


# kills itself before the given call of a method, counted from 1
KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.serving import embedded, model_control
from face_assets.serving import model_repository as models
where, number = sys.argv[2], int(sys.argv[3])
owner = model_control.ModelControl if where == "_load" else embedded.EmbeddedTarget
real, calls = getattr(owner, where), []
def counted(self, *arguments, **named):
    calls.append(1)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *arguments, **named)
setattr(owner, where, counted)
target, version, golden_requests, budget = pickle.loads(Path(sys.argv[1]).read_bytes())
target.deploy(version, golden_requests, budget)
"""
MOMENTS = {
    "a candidate half loaded": ("_load", 2),
    "both releases' parts loaded": ("_load", 6),
    "promoted, not written down": ("_write_state", 1),
    "written down, not cleaned up": ("_settle", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_deployment_killed_anywhere_is_mended_without_failing_a_request(
    kit: Any, target: EmbeddedTarget, tmp_path: Path, moment: str
) -> None:
    live = target.status().live or kit.deploy(target, "v1.0.0")
    other = "v2.0.0" if live.release == "v1.0.0" else "v1.0.0"
    candidate = kit.write(target.models, other)
    job = tmp_path / "job"
    job.write_bytes(pickle.dumps((target, candidate, kit.golden_requests(other), kit.budget)))
    where, number = MOMENTS[moment]
    with load(kit, target, grpc=1, http=0) as seen:
        done = subprocess.run([sys.executable, "-c", KILLED, str(job), where, str(number)], check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == -signal.SIGKILL
        target.start()
        status = target.status()
        assert status.live is not None
        assert status.live.release == (other if where == "_settle" else live.release)
        assert status.ready
        assert client(target).identify(kit.photo(0, 2)).release == status.live.release
    assert seen.wrong == []
    assert not list(target.models.glob("candidate_*"))
    assert target.status().pid == status.pid


def test_a_killed_server_comes_back_with_what_was_live(kit: Any, target: EmbeddedTarget) -> None:
    live = target.status().live or kit.deploy(target, "v1.0.0")
    pid = target.status().pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    while target.status().running:
        time.sleep(0.05)
    target.start()
    assert target.status().pid != pid
    assert client(target).identify(kit.photo(0, 2)).release == live.release


def test_a_live_release_that_cannot_be_loaded_does_not_bar_the_way_to_another(
    kit: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    target = kit.target(tmp_path / "serving")
    request.addfinalizer(target.stop)
    live = kit.deploy(target, "v1.0.0")
    weights = target.models / "face_embedder" / str(live.number) / "embedder.bin"
    content = weights.read_bytes()
    weights.unlink()  # it may be a link to the original
    weights.write_bytes(content[:100])
    target.stop()
    with pytest.raises(UserError, match="cannot load face_embedder"):
        target.start()
    kit.deploy(target, "v2.0.0")
    status = target.status()
    assert status.ready and status.live
    assert client(target).identify(kit.photo(0, 2)).release == status.live.release == "v2.0.0"


def test_other_ports_come_into_force_where_they_are_free(kit: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    target = kit.target(tmp_path / "serving")
    kit.deploy(target, "v1.0.0")
    other = Ports(*kit.free_ports(3))
    request.addfinalizer(target.stop)
    pid = target.status().pid
    moved = kit.target(target.root, Ports(target.ports.http, other.grpc, other.metrics))
    with socket.create_server(("127.0.0.1", other.metrics)), pytest.raises(UserError, match="FACE_ASSETS_METRICS_PORT"):
        moved.start()
    assert client(target).identify(kit.photo(0, 2)).release == "v1.0.0"
    assert target.status().pid == pid
    moved.start()
    assert client(moved).identify(kit.photo(0, 2)).release == "v1.0.0"
    assert moved.status().ports == moved.ports
    with pytest.raises(UserError):
        client(target).identify(kit.photo(0, 2))


def test_a_serving_environment_that_cannot_be_made_leaves_the_one_before(tmp_path: Path) -> None:
    environment = ServingEnvironment(tmp_path / "serving")
    environment.server.parent.mkdir(parents=True)
    environment.server.touch()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./no-such-folder\n")
    with pytest.raises(UserError, match="could not be made"):
        ensure_environment(environment.directory, requirements, print)
    assert environment.server.is_file()


def test_two_deployments_at_once_go_one_after_another(kit: Any, target: EmbeddedTarget) -> None:
    versions = [kit.write(target.models, release) for release in ("v1.0.0", "v2.0.0")]
    failures: list[BaseException] = []

    def deploy(number: int) -> None:
        mine = EmbeddedTarget(target.root, kit.environment, target.ports, 2)
        try:
            mine.deploy(versions[number], kit.golden_requests(versions[number].release), kit.budget)
        except UserError as error:
            failures.append(error)

    threads = [threading.Thread(target=deploy, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    status = target.status()
    assert status.ready
    assert {status.live, status.previous} == set(versions)
    assert status.live is not None
    assert client(target).identify(kit.photo(0, 2)).release == status.live.release


@pytest.fixture
def live(kit: Any, target: EmbeddedTarget) -> EmbeddedTarget:
    if not target.status().ready:
        kit.deploy(target, "v1.0.0")
    return target


def encoded(image: Image.Image, kind: str, **settings: Any) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **settings)
    return output.getvalue()


def test_odd_photos_are_answered_and_broken_ones_get_a_sentence(kit: Any, live: EmbeddedTarget) -> None:
    person, asker = draw(0, 2), client(live)
    alpha = person.copy()
    alpha.putalpha(255)
    animated = encoded(person, "WEBP", save_all=True, append_images=[draw(1, 2)], duration=100)
    good = [encoded(alpha, "PNG"), encoded(person, "WEBP"), encoded(person.convert("CMYK"), "JPEG"), animated]
    broken = {b"": "empty", b"no photo": "text, no photo", kit.photo(0, 2)[:1500]: "truncated"}
    with load(kit, live, grpc=1, http=0) as seen:
        for content in good:
            assert len(asker.identify(content).faces) == 1
        for content, reason in broken.items():
            with pytest.raises(UserError, match=f"^the photo cannot be used: {reason}"):
                asker.identify(content)
    assert seen.wrong == []


def test_a_photo_may_show_nobody_or_two(live: EmbeddedTarget) -> None:
    asker = client(live)
    assert asker.identify(encoded(Image.new("RGB", (200, 200), (90, 90, 90)), "PNG")).faces == []
    pair = Image.new("RGB", (500, 250))
    pair.paste(draw(0, 0), (0, 0))
    pair.paste(draw(3, 0), (250, 0))
    faces = asker.identify(encoded(pair, "PNG")).faces
    assert len(faces) == 2
    assert sorted(bool(face.box[0] > 250) for face in faces) == [False, True]
    assert all(np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-4) for face in faces)


def test_a_turned_photo_is_answered_as_the_upright_one(kit: Any, live: EmbeddedTarget) -> None:
    asker, person = client(live), draw(1, 2)
    upright = asker.identify(encoded(person, "PNG")).faces[0]
    face = asker.identify(encoded(person.rotate(180), "PNG")).faces[0]
    assert face.embedding @ upright.embedding > 0.9999
    assert np.abs(person.width - np.roll(face.box, 2) - upright.box).max() < 0.01, "in the pixels of the photo that was sent"
    tilted = encoded(person.rotate(25, Image.Resampling.BICUBIC, fillcolor=(90, 110, 130)), "PNG")
    offline = kit.embed(kit.bundle(asker.live_release()), tilted)
    assert asker.identify(tilted).faces[0].embedding @ offline > 0.9999


def test_a_face_has_a_quality_and_several_photos_one_answer(kit: Any, live: EmbeddedTarget, tmp_path: Path) -> None:
    """By a release of an earlier version without a scale, by one with it, and by one that knows nobody."""
    asker, nobody = client(live), encoded(Image.new("RGB", (200, 200), (90, 90, 90)), "PNG")
    dark = encoded(draw(0, 2).point(lambda value: value // 4), "PNG")
    photos = [kit.photo(0, 2), nobody, dark]

    kit.deploy(live, "v2.0.0")
    assert [(face.quality, face.too_poor) for face in asker.identify(photos[0]).faces] == [(None, False)]
    assert asker.identify_person(photos).identity.startswith("v2.0.0")

    kit.deploy(live, "v1.0.0")
    (good,), (poor,) = asker.identify(photos[0]).faces, asker.identify(dark).faces
    assert good.quality is not None and poor.quality is not None
    assert poor.quality < 50 < good.quality <= 100
    assert (good.accepted, poor.accepted, poor.too_poor) == (True, True, False), "a floor changes no accepted answer"
    person = asker.identify_person(photos)
    assert [subject and subject.quality for subject in person.photos] == [
        pytest.approx(good.quality, abs=0.01),
        None,
        pytest.approx(poor.quality, abs=0.01),
    ]
    assert (person.identity, person.accepted, person.release) == (good.identity, True, "v1.0.0")
    expected = fused(np.stack([good.embedding, poor.embedding]), np.array([good.quality, poor.quality], np.float32))
    assert person.embedding is not None
    assert person.embedding @ expected == pytest.approx(1, abs=1e-4)
    assert asker.identify_person([nobody, nobody]) == Person("", None, False, False, None, [None, None], "v1.0.0")
    with pytest.raises(UserError, match=r"^the photo cannot be used: text, no photo"):
        asker.identify_person([photos[0], b"no photo"])
    with pytest.raises(UserError, match="17 photos of one person are too many: a request takes 16"):
        asker.identify_person([photos[0]] * 17)
    with pytest.raises(UserError, match=r"^the photo cannot be used: photo 2 of one person is truncated"):
        asker.identify(pack_photos(photos[:2])[:-1])
    whole_body = urllib.request.Request(
        f"http://127.0.0.1:{live.ports.http}/v2/models/face_recognizer/infer", photos[0], {"Inference-Header-Content-Length": "0"}
    )
    with urllib.request.urlopen(whole_body, timeout=10) as answer:
        assert answer.status == 200

    bundle = shutil.copytree(kit.bundle("v1.0.0"), tmp_path / "strict")
    recognizer = read_json(bundle / "recognizer.json")
    write_json(bundle / "recognizer.json", {**recognizer, "identification_threshold": 1.5})
    strict = kit.write(live.models, "v1.0.0", bundle=bundle, commit="strict")
    golden_requests = [dataclasses.replace(golden, threshold=1.5) for golden in kit.golden_requests("v1.0.0")]
    live.deploy(strict, golden_requests, kit.budget)
    assert [face.too_poor for content in (photos[0], dark) for face in asker.identify(content).faces] == [False, True]
    assert asker.identify_person([photos[0], dark]).too_poor is False
    assert asker.identify_person([dark, dark]).too_poor is True


SHARED_MEMORY_CALLS = (("GET", "status"), ("POST", "unregister"), ("POST", "region/mine/register"))
RESTRICTED = [  # by which somebody would change the server, or read what passes through it
    *(("POST", f"repository/{what}") for what in ("index", "models/face_recognizer/load", "models/face_recognizer/unload")),
    *((method, f"{kind}sharedmemory/{what}") for kind in ("system", "cuda") for method, what in SHARED_MEMORY_CALLS),
    *((method, what) for method in ("GET", "POST") for what in ("trace/setting", "logging")),
]


def test_callers_without_the_key_control_nothing(kit: Any, live: EmbeddedTarget) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    caller = InferenceServerClient(f"127.0.0.1:{live.ports.grpc}")
    for call in (caller.unload_model, caller.load_model):
        with pytest.raises(InferenceServerException, match="restricted"):
            call("face_recognizer")
    with pytest.raises(InferenceServerException, match="restricted"):
        caller.get_model_repository_index()
    for call in (caller.get_system_shared_memory_status, caller.get_trace_settings, caller.get_log_settings):
        with pytest.raises(InferenceServerException, match="restricted"):
            call()
    for method, path in RESTRICTED:
        asked = urllib.request.Request(f"http://127.0.0.1:{live.ports.http}/v2/{path}", b"{}" if method == "POST" else None, method=method)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(asked, timeout=10)
    assert client(live).identify(kit.photo(0, 2)).faces


@pytest.mark.skipif(os.getuid() != 0, reason="takes another user's place")
def test_another_user_of_the_machine_reads_no_key_and_no_photo_on_its_way(live: EmbeddedTarget) -> None:
    address, prefix = live.server.address(), live.server._memory_prefix()
    assert address
    pids = [one.pid for one in processes_naming(str(live.root))]
    assert len(pids) > 3
    files = [f"/proc/{pid}/{name}" for pid in pids for name in ("cmdline", "environ")]
    seen = subprocess.run(["cat", *files], user=12345, group=12345, extra_groups=[], capture_output=True, check=False).stdout
    assert str(live.root).encode() in seen
    assert address.key.encode() not in seen
    assert address.key not in live.server.log.read_text()
    memory = Path(f"/proc/{live.status().pid}/root/dev/shm")
    assert list(memory.glob(f"{prefix}*"))
    assert memory.stat().st_mode & 0o077 == 0
    assert not list(SHARED_MEMORY.glob(f"{prefix}*"))


def crops_input(crops: np.ndarray) -> Any:
    from tritonclient.grpc import InferInput

    made = InferInput("CROPS", list(crops.shape), "UINT8")
    made.set_data_from_numpy(crops)
    return made


def test_crops_of_another_size_get_a_sentence(live: EmbeddedTarget) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    caller = InferenceServerClient(f"127.0.0.1:{live.ports.grpc}")
    with pytest.raises(InferenceServerException, match="crops must be 80x80x3, found 96x80x3"):
        caller.infer("face_embedder", [crops_input(np.zeros((1, 96, 80, 3), np.uint8))])
    vectors = caller.infer("face_embedder", [crops_input(np.full((2, 80, 80, 3), 9, np.uint8))]).as_numpy("EMBEDDINGS")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-4)


NOTED = """
        def noted(embed):
            def embed_and_note(crops):
                with open({file!r}, "a") as file:
                    print(len(crops), file=file)
                time.sleep(0.5)
                return embed(crops)
            return embed_and_note

        import time
        embedders = [noted(embed) for embed in embedders]
        self.batcher ="""


def test_single_crops_of_many_callers_reach_the_engine_in_batches(kit: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The engine is given time, so that callers wait for it however busy the machine is."""
    from tritonclient.grpc import InferenceServerClient

    target, noted = kit.target(tmp_path / "serving"), tmp_path / "batches"
    version = kit.write(target.models, "v1.0.0")
    kit.change(target.models, version, "face_embedder", {"\n        self.batcher =": NOTED.format(file=str(noted))})
    target.start()
    request.addfinalizer(target.stop)
    target.deploy(version, kit.golden_requests("v1.0.0"), kit.budget)
    noted.write_text("")

    caller = InferenceServerClient(f"127.0.0.1:{target.ports.grpc}")
    crops = np.random.default_rng(0).integers(0, 255, (96, 80, 80, 3)).astype(np.uint8)
    answers, errors = {}, []
    done = threading.Semaphore(0)

    def keep(number: int, result: Any, error: Any) -> None:
        answers[number] = None if error else result.as_numpy("EMBEDDINGS")[0]
        errors.extend([error] if error else [])
        done.release()

    for number, crop in enumerate(crops):
        caller.async_infer(
            "face_embedder", [crops_input(crop[None])], callback=lambda result, error, number=number: keep(number, result, error)
        )
    assert all(done.acquire(timeout=60) for _ in crops)
    assert errors == []
    batches = [int(line) for line in noted.read_text().split()]
    assert sum(batches) == len(crops)
    assert len(batches) < len(crops) / 2
    alone = caller.infer("face_embedder", [crops_input(crops[:32])]).as_numpy("EMBEDDINGS")
    np.testing.assert_allclose(np.stack([answers[number] for number in range(32)]), alone, atol=1e-5)


@pytest.mark.parametrize("name", ["HTTP", "GRPC", "METRICS"])
def test_a_port_in_use_names_its_setting(kit: Any, tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = Ports(**{**asdict(Ports(*kit.free_ports(3))), name.lower(): taken.getsockname()[1]})
        with pytest.raises(UserError, match=f"FACE_ASSETS_{name}_PORT"):
            kit.target(tmp_path / "serving", ports).start()


def processes_of(target: EmbeddedTarget) -> list[str]:
    """The command lines that name the server's folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(target.root) in line:
            lines.append(line)
    return lines


def network_processes(target: EmbeddedTarget) -> set[str]:
    """The command lines of the processes of detectors and embedders, each with its own memory's name."""
    return {line for line in processes_of(target) if "python_backend_stub" in line and RECOGNIZER not in line}


def test_a_stopped_server_leaves_no_process_and_no_shared_memory(live: EmbeddedTarget) -> None:
    prefix = live.server._memory_prefix()
    assert len(processes_of(live)) > 3
    assert live.stop()
    until(lambda: processes_of(live) == [], 30)  # one that was killed takes a moment
    assert processes_of(live) == []
    assert list(SHARED_MEMORY.glob(f"{prefix}*")) == []
    assert not live.stop()
    assert live.status().live is not None  # start() restarts it


def test_a_proxy_for_the_world_outside_hides_no_server_of_ours(kit: Any, live: EmbeddedTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    before = live.status()
    assert before.ready
    live.start()
    assert client(live).identify(kit.photo(0, 2)).faces
    assert live.check_live(kit.golden_requests(before.live.release if before.live else "")[:1], kit.budget).passed
    assert live.status() == before


def test_a_server_is_ended_only_where_a_second_look_finds_it_silent(
    kit: Any, live: EmbeddedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SECONDS_TO_ANSWER", 0.0)
    monkeypatch.setattr(embedded, "answers", lambda address: False)  # as if the HTTP port alone were unreachable
    pid = live.status().pid
    assert pid
    with pytest.raises(UnreachableError, match="metrics respond"):
        live.start()
    assert live.status().pid == pid
    monkeypatch.undo()
    assert client(live).identify(kit.photo(0, 2)).faces
    os.kill(pid, signal.SIGSTOP)
    live.start()
    assert live.status().pid != pid
    assert client(live).identify(kit.photo(0, 2)).faces


def test_a_server_killed_while_a_candidate_loads_leaves_no_process_after_down(kit: Any, live: EmbeddedTarget) -> None:
    other = "v2.0.0" if live.status().live.release == "v1.0.0" else "v1.0.0"
    version, pid = kit.write(live.models, other), live.status().pid
    control = model_control.ModelControl(live.server.address())

    def load() -> None:
        with suppress(UserError):
            control.load(*(models.configure(live.models, model, [version.number], candidate=True) for model in models.MODELS))

    loading = threading.Thread(target=load)
    loading.start()
    assert until(lambda: any("candidate_" in line for line in processes_of(live)), 60)
    os.kill(pid, signal.SIGKILL)
    loading.join()
    live.server.record.unlink()  # as a start that was killed leaves it
    assert live.stop()
    assert processes_of(live) == []
    assert list(SHARED_MEMORY.glob(f"{live.server._memory_prefix()}*")) == []
