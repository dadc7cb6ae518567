"""Training in several processes: torchrun starts them, gloo or NCCL connects them, and the loss curve equals that of one process."""

import json
import math
import os
import pickle
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from face_assets.core import subprocesses
from face_assets.core.cluster import ray_cluster
from face_assets.core.errors import UserError
from face_assets.embedding.training import Log, TrainingRequest, TrainingResult, train

USER_ERROR = "USER ERROR: "
LOG_LINE = "LOG: "
LAST_LINES = 5
SECONDS_OF_SILENCE = 6 * 3600.0  # each epoch logs a line


def train_on(processes: int, request: TrainingRequest, work: Path, output: Path, threads: int, log: Log) -> TrainingResult:
    """Trains as `train_here` does: on a node of the cluster where one is set, except on a GPU of this machine."""
    from face_assets.embedding.cluster_training import train_on_cluster

    if request.accelerator == "cpu" and (cluster := ray_cluster(log)):
        return train_on_cluster(cluster, processes, request, work, output, threads, log)
    return train_here(processes, request, work, output, threads, log)


def train_here(
    processes: int, request: TrainingRequest, work: Path, output: Path, threads: int, log: Log, pause_after: float = math.inf
) -> TrainingResult:
    """Trains as training.train does, in `processes` processes of this machine that share `threads`; each has all rows in memory.

    The curve equals that of one process with the same batch_size, up to the order of sums. A killed training may be resumed with
    another number of processes. Raises UserError as `train` does, and if a process ends early.
    """
    if processes == 1:
        return train(request, work, output, threads, log, pause_after)
    log(f"training on {processes} processes")
    with tempfile.TemporaryDirectory(prefix="face-assets-train-") as folder:
        request_file = Path(folder) / "request.pickle"
        request_file.write_bytes(pickle.dumps((request, work, output, max(1, threads // processes))))
        command = subprocesses.python(
            "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", __name__, str(request_file)
        )
        lines: list[str] = []
        status = subprocesses.follow(
            command,
            SECONDS_OF_SILENCE,
            lambda line: log(line.removeprefix(LOG_LINE)) if line.startswith(LOG_LINE) else lines.append(line),
            {**os.environ, **subprocesses.OWN_MODULES},
        )
        if status:
            mistake = next((line.removeprefix(USER_ERROR) for line in lines if line.startswith(USER_ERROR)), None)
            raise UserError(mistake or _early_end(lines))
        return TrainingResult(**json.loads(request_file.with_suffix(".json").read_text(encoding="utf-8")))


def _early_end(lines: list[str]) -> str:
    output = " ".join(line for line in lines[-LAST_LINES:] if line)
    return f"a process of the training ended before its time: run again, and it goes on from the last checkpoint. torchrun said: {output}"


def _main(request_file: Path) -> int:
    """Trains as one of the processes that torchrun starts. Returns the exit status."""
    from face_assets.embedding import process_group

    request, work, output, threads = pickle.loads(request_file.read_bytes())
    is_first = process_group.rank() == 0
    process_group.join(request.accelerator)
    try:
        log: Log = (lambda line: print(f"{LOG_LINE}{line}", flush=True)) if is_first else lambda line: None
        result = train(request, work, output, threads, log)
    except UserError as error:
        if is_first:
            print(f"{USER_ERROR}{error}", flush=True)
        return 1
    if is_first:
        request_file.with_suffix(".json").write_text(json.dumps(asdict(result)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
