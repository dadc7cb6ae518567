"""Groups of faces that show one person each, where nobody knows who: agglomerative clustering by average linkage."""

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.blocks import blocks

MOST = 20_000
"""Faces that are grouped at once: where all of them are connected, their distances take 1.6 GB."""


def groups_of_faces(embeddings: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.int64]:
    """The group of each face, (n,), numbered from 0. embeddings: float32 (n, d) of unit length, n at most MOST.

    Two groups are one while the mean cosine between their faces is at least the threshold (UPGMA; Sokal and Michener 1958). It is then also
    reached by one pair, so that each connected part is clustered alone.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count = len(embeddings)
    if not count:
        return np.empty(0, np.int64)
    assert count <= MOST
    rows, columns = [], []
    for part in blocks(count, count):
        near = np.nonzero(embeddings[part] @ embeddings.T >= threshold)
        rows.append(near[0] + (part.start or 0))
        columns.append(near[1])
    row, column = np.concatenate(rows), np.concatenate(columns)
    _, parts = connected_components(csr_array((np.ones(len(row), bool), (row, column)), shape=(count, count)), directed=False)
    groups, made = np.empty(count, np.int64), 0
    for number in range(int(parts.max()) + 1):
        members = np.flatnonzero(parts == number)
        labels = np.ones(1, np.int64)
        if len(members) > 1:
            own = embeddings[members].astype(np.float64)
            distances = (1 - own @ own.T)[np.triu_indices(len(members), 1)]
            labels = fcluster(linkage(np.maximum(distances, 0), "average"), 1 - threshold, "distance")
        groups[members] = made + labels - 1
        made += int(labels.max())
    return groups
