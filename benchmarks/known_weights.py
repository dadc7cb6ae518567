"""Makes face_assets/biometrics/known_weights.json: tails of non-mated scores by starting weights, on people kept apart from the tests.

    python -m benchmarks.known_weights ARRAYS WEIGHTS WHITENING ALIGN NAME

ARRAYS: .npz with `start` float32 (n, d), embeddings of unit length, `identity` (n,), and `split` (n,). Test people are left out, so that
thresholds from the table can be tried on them. The table holds scores at rates only: no photo, name or embedding.
"""

import json
import sys
from dataclasses import asdict

import numpy as np

from face_assets.biometrics.impostor_scores import FILE, known_key, measure_impostor_scores
from face_assets.embedding.weights import weights_fingerprint


def main() -> None:
    """Adds the entry of the weights, or makes it anew."""
    arrays, weights, whitening, align, name = sys.argv[1:]
    values = np.load(arrays)
    others = values["split"] != "test"
    found = asdict(measure_impostor_scores(values["start"][others], values["identity"][others], name))
    del found["deviation"]
    entries = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    entries[known_key(weights_fingerprint(weights), whitening, align)] = found
    FILE.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
