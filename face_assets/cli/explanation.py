"""`face-assets why`: the reasons for the live server's answer to a photo."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from face_assets.cli.recognition import connect, photo_content, result_of
from face_assets.gallery.explanation import Explainer
from face_assets.registry.workspace import Workspace

MOST_SHOWN = 5
"""Photos of a person that the text shows; `--json` has all."""


def explain_photo(photo: Path, count: int) -> dict[str, Any]:
    """Returns the answer to a photo with, for each face, the `count` nearest people and their photos. Raises UserError."""
    content = photo_content(photo)
    client = connect()
    client.require_ready()
    answer = client.identify(content)
    explainer = Explainer(Workspace.load(), answer.release)
    explained = [[asdict(person) for person in explainer.nearest(face.embedding, count)] for face in answer.faces]
    found = result_of(photo, answer)
    faces = [{**face, **_margins(people, explainer.threshold)} for face, people in zip(found["faces"], explained, strict=True)]
    return {**found, "threshold": explainer.threshold, "faces": faces, "origin": asdict(explainer.origin())}


def _margins(people: list[dict[str, Any]], threshold: float) -> dict[str, Any]:
    """The nearest people, and how far the first is above the threshold and ahead of the second; None where there is nobody."""
    scores = [person["score"] for person in people]
    return {
        "nearest": people,
        "above_threshold": scores[0] - threshold if scores else None,
        "ahead_of_next": scores[0] - scores[1] if len(scores) > 1 else None,
    }


def explanation_text(found: dict[str, Any]) -> str:
    """Returns the explanation as text, the nearest people first."""
    lines = [f"{found['photo']}: {found['text']}"]
    for number, face in enumerate(found["faces"], 1):
        quality = "no quality" if face["quality"] is None else f"quality {face['quality']:.0f}"
        lines.append(f"face {number}: detection probability {face['probability']:.3f}, {quality}")
        if face["above_threshold"] is not None:
            side = "above" if face["above_threshold"] >= 0 else "below"
            ahead = "" if face["ahead_of_next"] is None else f", {face['ahead_of_next']:.3f} ahead of the next person"
            lines.append(f"  {abs(face['above_threshold']):.3f} {side} the threshold {found['threshold']:.3f}{ahead}")
        for person in face["nearest"]:
            lines += _person_lines(person)
    origin = found["origin"]
    lines.append(f"gallery of {origin['release']} ({origin['tag']}): {origin['source'] or 'people'} at commit {origin['commit']}")
    if origin["dataset_version"]:
        lines.append(f"  dataset version {origin['dataset_version']}; `face-assets lineage {origin['release']}` has every step")
    return "\n".join(lines)


def _person_lines(person: dict[str, Any]) -> list[str]:
    lines = [f"  {person['score']:.3f} {person['name']}"]
    if person["photos"] is None:
        return [*lines, f"    {person['note']}"]
    for photo in person["photos"][:MOST_SHOWN]:
        quality = "" if photo["quality"] is None else f", quality {photo['quality']:.0f}"
        lines.append(f"    {photo['share']:+.3f} by {photo['path']}: cosine {photo['cosine']:.3f}{quality}, md5 {photo['md5']}")
    if rest := person["photos"][MOST_SHOWN:]:
        lines.append(f"    {sum(photo['share'] for photo in rest):+.3f} by {len(rest):,} more")
    return lines
