"""Requests that would end a server or its memory are rejected with the right status, and hidden from no figure but by the platform."""

import gzip
import io
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from PIL import Image
from tritonclient.grpc import service_pb2

from face_assets.core.files import read_json, write_json
from face_assets.demo.synthetic import draw
from face_assets.serving.client import RecognizerClient
from face_assets.serving.embedded import EmbeddedTarget
from tests.processes import processes_naming
from tests.serving.conftest import PEOPLE
from tests.serving.test_frontend import ODD_GRPC, ODD_HTTP
from tests.serving.test_traffic import metrics
from tests.waiting import until

pytestmark = pytest.mark.slow
BUSY = "the server is busy: too many requests wait"


@pytest.fixture(scope="module")
def live(kit: Any, target: EmbeddedTarget) -> EmbeddedTarget:
    kit.deploy(target, "v1.0.0")
    return target


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    output = io.BytesIO()
    Image.new(mode, (width, height)).save(output, "PNG", compress_level=9)
    return output.getvalue()


def request_of(content: bytes, model: str = "face_recognizer", **parameters: str) -> service_pb2.ModelInferRequest:
    made = service_pb2.ModelInferRequest(model_name=model)
    image = made.inputs.add(name="IMAGE", datatype="BYTES", shape=[1])
    image.contents.bytes_contents.append(content)
    for name, value in parameters.items():
        made.parameters[name].string_param = value
    return made


def infer(
    target: EmbeddedTarget, made: service_pb2.ModelInferRequest, seconds: float = 60.0, compression: Any = None
) -> tuple[grpc.StatusCode, str]:
    """The status of a request over gRPC, and its sentence."""
    with grpc.insecure_channel(f"127.0.0.1:{target.ports.grpc}", options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        try:
            call(made, timeout=seconds, compression=compression)
        except grpc.RpcError as error:
            return error.code(), error.details()
        return grpc.StatusCode.OK, ""


def post(target: EmbeddedTarget, body: Any, **headers: str) -> tuple[int, str]:
    """The status of a request over HTTP, and its body."""
    asked = urllib.request.Request(f"http://127.0.0.1:{target.ports.http}/v2/models/face_recognizer/infer", data=body, method="POST")
    for name, value in headers.items():
        asked.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


@pytest.mark.parametrize("model", ["face_recognizer", "face_detector"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(png(9_900, 9_900, "RGBA"), "98.0 megapixels, more than 25.0"), (bytes(20_060_000), "20.1 MB, more than 20.0"), (b"", "empty")],
)
def test_a_rejected_photo_is_the_callers_fault(live: EmbeddedTarget, model: str, content: bytes, reason: str) -> None:
    status, sentence = infer(live, request_of(content, model))
    assert (status, reason in sentence) == (grpc.StatusCode.INVALID_ARGUMENT, True), sentence


def test_a_rejected_photo_is_400_over_http(live: EmbeddedTarget) -> None:
    assert post(live, b"no photo", Inference_Header_Content_Length="0")[0] == 400


def nested(depth: int) -> bytes:
    return b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (nested(200_000), {}, 413),
        (nested(200_000), {"Inference_Header_Content_Length": "400011"}, 413),
        (nested(8_000), {}, 400),
        (iter([nested(100), b" "]), {}, 411),  # chunked
        (gzip.compress(nested(200_000)), {"Content_Encoding": "gzip"}, 415),
        (b"{}", {"Inference_Header_Content_Length": "-1"}, 400),
        (bytes(21_000_000), {"Inference_Header_Content_Length": "0"}, 413),
    ],
)
def test_a_body_that_would_end_the_server_is_rejected(live: EmbeddedTarget, body: Any, headers: dict[str, str], status: int) -> None:
    pid = live.status().pid
    assert post(live, body, **headers)[0] == status
    assert (live.status().pid, live.status().ready) == (pid, True)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_that_is_too_large_is_rejected(live: EmbeddedTarget, compression: grpc.Compression) -> None:
    assert infer(live, request_of(bytes(200_000_000)), compression=compression)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert live.status().ready


def test_only_the_owner_reaches_triton_past_the_frontend(live: EmbeddedTarget) -> None:
    assert (live.root / "sockets").stat().st_mode & 0o777 == 0o700
    (triton,) = psutil.Process(live.status().pid).children()
    key = live.server.address().key  # type: ignore[union-attr]
    assert triton.name() == "tritonserver"
    assert key not in " ".join(triton.cmdline() + psutil.Process(live.status().pid).cmdline())
    listening = [one for one in triton.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert listening == []


def test_boxes_lie_within_the_photo(live: EmbeddedTarget) -> None:
    face = draw(0, 0, size=400)
    for edges in ((60, 60, 340, 340), (100, 100, 300, 300), (120, 60, 400, 300)):
        photo = io.BytesIO()
        face.crop(edges).resize((300, 300)).save(photo, "JPEG", quality=95)
        for found in RecognizerClient(f"127.0.0.1:{live.ports.grpc}").identify(photo.getvalue()).faces:
            assert (found.box >= 0).all() and (found.box <= 300).all(), found.box


HELD = """
        while Path({folder!r}, "held").exists() or (photo == b"left" and not sender.is_cancelled()):
            time.sleep(0.01)
"""
NOTED = """
{indent}with open(Path({folder!r}, {name!r}), "a") as file:
{indent}    print({photo}[:9], file=file)
"""


@pytest.fixture(scope="module")
def narrow(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedTarget, Path]]:
    """A server that takes in three photos at once, works on one, and notes which; and a folder: while `held` lies there, it only waits."""
    folder = tmp_path_factory.mktemp("narrow")
    bundle = folder / "bundle"
    shutil.copytree(kit.bundle("v1.0.0"), bundle)
    recognizer = read_json(bundle / "recognizer.json")
    recognizer["serving"] |= {"photos_at_once": 1, "max_waiting": 3, "max_faces": 1}
    write_json(bundle / "recognizer.json", recognizer)
    target = kit.target(folder / "serving")
    version = kit.write(target.models, "v1.0.0", bundle)
    begins, asks, enters = (
        "    def _answer(self, request, photo, sender, came):\n",
        '        found = self._ask("detector"',
        "enter(size, len(photos))\n",
    )
    changes = {
        begins: begins + HELD.format(folder=str(folder)),
        asks: NOTED.format(folder=str(folder), name="worked", photo="photo", indent=" " * 8) + asks,
        enters: enters + NOTED.format(folder=str(folder), name="taken", photo="photos[0]", indent=" " * 16),
    }
    kit.change(target.models, version, "face_recognizer", changes)
    target.start()
    target.deploy(version, kit.golden_requests("v1.0.0"), kit.budget)
    yield target, folder
    target.stop()


def test_a_caller_who_left_and_one_too_many_cost_no_work(narrow: tuple[EmbeddedTarget, Path]) -> None:
    target, folder = narrow
    for name in ("worked", "taken", "held"):
        (folder / name).write_text("")
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(infer, target, request_of(content), 5.0 if content == b"left" else 60.0) for content in (b"one", b"left", b"two")
        ]
        assert until(lambda: len((folder / "taken").read_text().split()) == 3)
        assert infer(target, request_of(b"three")) == (grpc.StatusCode.UNAVAILABLE, BUSY)
        assert asked[1].result()[0] == grpc.StatusCode.DEADLINE_EXCEEDED
        (folder / "held").unlink()
        assert {one.result()[0] for one in (asked[0], asked[2])} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert sorted((folder / "worked").read_text().split()) == ["b'one'", "b'two'"]
    assert until(lambda: metrics(target).get('face_assets_photos_dropped_total{release="v1.0.0"}', 0) == 2), metrics(target)


def test_a_photo_of_too_many_faces_is_rejected(narrow: tuple[EmbeddedTarget, Path]) -> None:
    pair = Image.new("RGB", (500, 250))
    for place, person in enumerate((0, 3)):
        pair.paste(draw(person, 0), (250 * place, 0))
    output = io.BytesIO()
    pair.save(output, "PNG")
    assert infer(narrow[0], request_of(output.getvalue())) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the photo cannot be used: 2 faces, more than 1",
    )


def test_a_parameter_that_anybody_can_send_hides_no_request(kit: Any, live: EmbeddedTarget) -> None:
    name = 'face_assets_photos_total{release="v1.0.0"}'
    before = metrics(live).get(name, 0.0)
    photo = kit.photo(PEOPLE[0], 1)
    assert infer(live, request_of(photo, face_assets_probe="true"))[0] == grpc.StatusCode.OK
    assert live.client(internal=True).identify(photo).faces
    assert until(lambda: metrics(live).get(name, 0.0) > before)
    infer(live, request_of(photo))
    assert until(lambda: metrics(live).get(name, 0.0) == before + 2)
    file = live.root / "probe.token"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_server_whose_model_died_is_replaced_by_itself(kit: Any, live: EmbeddedTarget) -> None:
    """Without the daemon; a model whose process died responds to no photo any more, and Triton reports itself ready."""
    frontend = psutil.Process(live.status().pid)
    (triton,) = frontend.children()
    detectors = processes_naming("face_detector", triton.children())
    assert detectors
    for detector in detectors:
        detector.kill()
    assert until(lambda: not triton.is_running() and live.status().ready)
    assert live.status().pid == frontend.pid
    assert RecognizerClient(f"127.0.0.1:{live.ports.grpc}").identify(kit.photo(PEOPLE[0], 1)).faces


def test_a_server_whose_model_hangs_is_replaced_by_itself(kit: Any, live: EmbeddedTarget) -> None:
    """Without the daemon; a photo that was sent meanwhile is lost, and its caller may have left."""
    frontend = psutil.Process(live.status().pid)
    (triton,) = frontend.children()
    for detector in processes_naming("face_detector", triton.children()):
        detector.suspend()
    assert infer(live, request_of(kit.photo(PEOPLE[0], 1)), seconds=0.5)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert until(lambda: not triton.is_running() and live.status().ready, seconds=120.0)
    assert live.status().pid == frontend.pid
    assert RecognizerClient(f"127.0.0.1:{live.ports.grpc}").identify(kit.photo(PEOPLE[0], 1)).faces


def test_after_odd_traffic_and_a_crash_no_process_is_left(live: EmbeddedTarget) -> None:
    pid = live.status().pid
    for content, _ in ODD_HTTP.values():
        for port in (live.ports.http, live.ports.grpc):
            with socket.create_connection(("127.0.0.1", port)) as connection, suppress(ConnectionError):
                connection.settimeout(60)
                connection.sendall(content)
                connection.recv(100)
    for method, message, status in ODD_GRPC.values():
        with grpc.insecure_channel(f"127.0.0.1:{live.ports.grpc}", options=[("grpc.max_send_message_length", -1)]) as channel:
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary(method)(message, timeout=60)
            assert raised.value.code() == status, method
    assert (live.status().pid, live.status().ready) == (pid, True)
    psutil.Process(pid).kill()
    assert live.stop()
    assert processes_naming(str(live.root)) == []
    live.start()
    assert live.status().ready
