"""Callers who ask a server all the time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from face_assets.core.errors import UserError
from face_assets.serving.client import RecognizerClient

PAUSE = 0.05  # seconds of a caller between two requests: one is under way at any time, and the cores are left to the deployment


class Load:
    """Results that the callers received, by release, and errors."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []


@contextmanager
def load_server(
    kit: Any, client: Callable[[], RecognizerClient], http_port: int, headers: Mapping[str, str] | None = None, *, grpc: int, http: int
) -> Iterator[Load]:
    """Asks from so many threads, over gRPC and over HTTP; a result is wholly of one release: its embedding's size and its gallery."""
    from tritonclient.http import InferenceServerClient, InferInput

    seen, over, photo = Load(), threading.Event(), kit.photo(0, 2)

    def see(release: str, size: int, identity: str) -> None:
        seen.answers[release] += 1
        if size != kit.size(release) or not identity.startswith(release):
            seen.wrong.append(f"{release} with {size} numbers and {identity!r}")

    def ask_grpc() -> None:
        asker = client()
        while not over.wait(PAUSE):
            try:
                answer = asker.identify(photo)
            except UserError as error:
                seen.wrong.append(f"gRPC: {error}")
                continue
            see(answer.release, len(answer.faces[0].embedding), answer.faces[0].identity)

    def ask_http() -> None:
        asker = InferenceServerClient(f"127.0.0.1:{http_port}")
        image = InferInput("IMAGE", [1], "BYTES")
        image.set_data_from_numpy(np.array([photo], dtype=np.object_))
        while not over.wait(PAUSE):
            try:
                answer = asker.infer("face_recognizer", [image], headers=headers)
            except Exception as error:  # also those of the client's own transport: each is a request that was lost
                seen.wrong.append(f"HTTP: {error}")
                continue
            release, embeddings, identity = (answer.as_numpy(name) for name in ("RELEASE", "EMBEDDINGS", "IDENTITY"))
            see(release[0].decode(), embeddings.shape[1], identity[0].decode())
        asker.close()

    threads = [threading.Thread(target=ask) for ask in [ask_grpc] * grpc + [ask_http] * http]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()
