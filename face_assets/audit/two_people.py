"""People whose photos fall into two groups that show two people."""

import heapq

import numpy as np

from face_assets.audit.scores import Floats, Ints, Scale

ALIKE = 0.4
"""Of the scale: the mean score between two groups from which on they show one person."""
FEWEST, MOST = 2, 1_000
"""Photos of a group that counts as a person; photos of a person that are compared, evenly spread over all."""


def divided(embeddings: Floats, people: Ints, scale: Scale) -> tuple[Ints, dict[int, int]]:
    """People int64 (n,) where each further group of a name's photos counts as a person of its own, and group → the name's number.

    Groups are those of agglomerative clustering by the mean score (UPGMA) until no two have one of ALIKE of the scale. Those of fewer than
    FEWEST photos stay with the largest.
    """
    split, names = people.copy(), dict[int, int]()
    rows = np.argsort(people, kind="stable")
    for photos in np.split(rows, np.flatnonzero(np.diff(people[rows])) + 1):
        if len(photos) >= 2 * FEWEST:
            photos = photos[:: -(-len(photos) // MOST)]
            clusters = _clusters(embeddings[photos], 1 - scale.at(ALIKE))
            sizes = np.bincount(clusters)
            for cluster in np.flatnonzero(sizes >= FEWEST):
                if cluster != sizes.argmax():
                    group = int(people.max()) + 1 + len(names)
                    names[group] = int(people[photos[0]])
                    split[photos[clusters == cluster]] = group
    return split, names


def _clusters(vectors: Floats, distance: float) -> Ints:
    """The cluster of each photo, int64 (n,)."""
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    if distances.max() < distance:  # which spares nearly all people the clustering
        return np.zeros(len(vectors), np.int64)
    from scipy.cluster.hierarchy import linkage

    tree = linkage(distances[np.triu_indices(len(vectors), k=1)], "average")
    return _cut(tree[:, :2].astype(np.int64), int((tree[:, 2] >= distance).sum()) + 1)


def _cut(children: Ints, clusters: int) -> Ints:
    """The cluster of each leaf, int64 (n,), of a tree of merges int64 (n - 1, 2), numbered as scikit-learn's AgglomerativeClustering
    does, which takes a second to import."""
    leaves = len(children) + 1
    nodes = [-2 * (leaves - 1)]  # a heap of the negative numbers of the clusters' roots
    for _ in range(clusters - 1):
        one, other = children[-nodes[0] - leaves].tolist()
        heapq.heappush(nodes, -one)
        heapq.heappushpop(nodes, -other)
    found = np.zeros(leaves, np.int64)
    for number, node in enumerate(nodes):
        below = [-node]
        while below:
            one = below.pop()
            if one < leaves:
                found[one] = number
            else:
                below += children[one - leaves].tolist()
    return found
