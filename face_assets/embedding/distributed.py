"""Training on several processes: torchrun starts them, gloo connects them, and the loss curve is that of one process."""

import json
import os
import pickle
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from face_assets.core import subprocesses
from face_assets.core.errors import UserError
from face_assets.embedding.training import Log, TrainingRequest, TrainingResult, train

REFUSED = "REFUSED: "
SAID = "SAID: "
LAST_LINES = 5
SECONDS_OF_SILENCE = 6 * 3600.0  # each epoch says that it ended


def train_on(processes: int, request: TrainingRequest, work: Path, output: Path, threads: int, log: Log) -> TrainingResult:
    """As training.train, on so many processes of this machine, among which `threads` are divided; each holds all rows in memory.

    For one batch_size the curve is that of one process, up to the order of sums. A training that was killed may go on with another
    number of processes. Raises UserError as train does, and where a process ends before its time.
    """
    if processes == 1:
        return train(request, work, output, threads, log)
    log(f"training on {processes} processes")
    with tempfile.TemporaryDirectory(prefix="face-assets-train-") as folder:
        asked = Path(folder) / "request.pickle"
        asked.write_bytes(pickle.dumps((request, work, output, max(1, threads // processes))))
        command = subprocesses.python(
            "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", __name__, str(asked)
        )
        lines: list[str] = []
        status = subprocesses.follow(
            command,
            SECONDS_OF_SILENCE,
            lambda line: log(line.removeprefix(SAID)) if line.startswith(SAID) else lines.append(line),
            {**os.environ, **subprocesses.OWN_MODULES},
        )
        if status:
            refused = next((line.removeprefix(REFUSED) for line in lines if line.startswith(REFUSED)), None)
            raise UserError(refused or _death(lines))
        return TrainingResult(**json.loads(asked.with_suffix(".json").read_text(encoding="utf-8")))


def _death(lines: list[str]) -> str:
    said = " ".join(line for line in lines[-LAST_LINES:] if line)
    return f"a process of the training ended before its time: run again, and it goes on from the last checkpoint. torchrun said: {said}"


def _take_part(asked: Path) -> int:
    """What torchrun runs: this process's part of the training. Returns the exit status."""
    from face_assets.embedding import process_group

    request, work, output, threads = pickle.loads(asked.read_bytes())
    speaks = process_group.rank() == 0
    process_group.join()
    try:
        result = train(request, work, output, threads, (lambda line: print(f"{SAID}{line}", flush=True)) if speaks else lambda line: None)
    except UserError as error:
        if speaks:
            print(f"{REFUSED}{error}", flush=True)
        return 1
    if speaks:
        asked.with_suffix(".json").write_text(json.dumps(asdict(result)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_take_part(Path(sys.argv[1])))
