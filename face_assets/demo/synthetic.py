"""Synthetic people: parametric faces that MTCNN detects, an identity's traits from one generator, a photo's conditions from another."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from face_assets.core.progress import Progress
from face_assets.demo.drawing import Canvas, Plane, bar, ellipse, fill, glow, ring
from face_assets.demo.traits import Conditions, Traits, conditions, name_of, traits

SIZE = 250
QUALITY = 90


def draw(identity: int, photo: int, seed: int = 0, size: int = SIZE) -> Image.Image:
    """Returns a photo of a synthetic person: RGB, size x size, the same pixels for the same arguments."""
    who, how = traits(identity, seed), conditions(identity, photo, seed)
    down = np.linspace(0, 1, size)[:, None, None]
    ground = how.background[0] * (1 - down) + how.background[1] * down
    canvas = Canvas(size, how.view, np.broadcast_to(ground, (size, size, 3)).astype(np.float32))
    _behind(canvas, who, how)
    _head(canvas, who, how)
    _eyes(canvas, who, how)
    _nose(canvas, who, how)
    _mouth(canvas, who, how)
    _marks(canvas, who, how)
    _hair(canvas, who)
    _glasses(canvas, who, how)
    return _camera(canvas.pixels, how, size)


def _behind(canvas: Canvas, who: Traits, how: Conditions) -> None:
    if who.hair_length and not who.bald:
        half, length = who.face_width + 0.02 + who.hair_volume, who.hair_length
        canvas.paint(
            0,
            0,
            0.7,
            who.hair,
            lambda u, v: fill(np.maximum(np.abs(u) - half - 0.01 * np.sin(v * 40), np.maximum(-0.1 - v, v - length)), 0.02),
        )
    canvas.paint(0, 0.66, 0.55, how.clothes, ellipse(0.42, 0.26, 0.02))
    canvas.paint(0, 0.33, 0.3, who.skin * 0.74, lambda u, v: fill(np.maximum(np.abs(u) - who.face_width * 0.55, np.abs(v) - 0.14), 0.02))
    for side in (-1, 1):
        canvas.paint(side * who.face_width, 0.02, 0.12, who.skin * 0.84, ellipse(0.028, who.ear, 0.01))
        canvas.paint(side * who.face_width, 0.02, 0.12, who.skin * 0.62, ellipse(0.012, who.ear * 0.6, 0.02))


def _outline(who: Traits) -> Callable[[Plane, Plane], Plane]:
    """Returns the distance from the head's outline: an ellipse whose lower half narrows to the jaw."""

    def distance(u: Plane, v: Plane) -> Plane:
        half = who.face_width * np.where(v > 0, 1 - who.jaw * np.clip(v / who.face_height, 0, 1.2) ** 2, 1)
        return (np.sqrt((u / half) ** 2 + (v / who.face_height) ** 2) - 1) * who.face_width

    return distance


def _head(canvas: Canvas, who: Traits, how: Conditions) -> None:
    across, down = canvas.u / who.face_width, canvas.v / who.face_height
    depth = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
    shade = np.clip(0.64 + 0.36 * depth + how.light * across * 0.6 - 0.1 * down, 0.35, 1.12)
    distance = _outline(who)
    canvas.paint(0, 0, 0.5, who.skin * shade[..., None], lambda u, v: fill(distance(u, v), 0.012))
    for side in (-1, 1):
        x = how.yaw + side * who.eye_distance
        canvas.paint(x, who.eye_height - 0.008, 0.14, who.skin * 0.55, glow(0.058, 0.034, 0.5))
        canvas.paint(how.yaw + side * 0.115, 0.1, 0.14, who.skin * np.array([1, 0.8, 0.78]), glow(0.05, 0.04, 0.4))
    if who.beard:
        ridge = who.mouth_height - 0.03
        canvas.paint(
            0, 0.2, 0.35, who.hair, lambda u, v: who.beard * fill(distance(u, v + 0.2), 0.02) * fill(ridge - 0.2 - v + 1.2 * u * u, 0.06)
        )


def _eyes(canvas: Canvas, who: Traits, how: Conditions) -> None:
    for side in (-1, 1):
        _eye(canvas, who, how, side)


def _eye(canvas: Canvas, who: Traits, how: Conditions, side: int) -> None:
    x, y = how.yaw + side * who.eye_distance, who.eye_height
    slant, shift = side * who.eye_slant, how.gaze + how.yaw * 0.3
    inside = bar(who.eye_width, who.eye_opening, slope=slant)
    canvas.paint(x, y - 0.003, 0.1, who.skin * 0.4, bar(who.eye_width * 1.14, who.eye_opening * 1.3, slope=slant))
    canvas.paint(x, y, 0.1, np.array([236.0, 233, 229]), inside)
    iris, pupil = ellipse(who.eye_opening * 0.98, who.eye_opening * 0.98), ellipse(who.eye_opening * 0.48, who.eye_opening * 0.48)
    canvas.paint(x, y, 0.1, who.iris, lambda u, v: iris(u - shift, v) * inside(u, v))
    canvas.paint(x, y, 0.1, np.array([10.0, 8, 8]), lambda u, v: pupil(u - shift, v) * inside(u, v))
    canvas.paint(x + shift + 0.005, y - 0.006, 0.03, np.array([250.0, 250, 250]), ellipse(0.0035, 0.0035))
    lid = bar(who.eye_width * 1.1, 0.004, slope=slant)
    canvas.paint(x, y, 0.1, np.array([36.0, 24, 18]), lambda u, v: lid(u, v + who.eye_opening * (1 - (u / who.eye_width) ** 2)))
    brow = bar(who.eye_width * 1.35, who.brow_thickness, bend=who.brow_bend, slope=side * 0.12 - slant, softness=0.01)
    canvas.paint(x, y - who.brow_height, 0.12, who.hair * 0.7, brow)


def _nose(canvas: Canvas, who: Traits, how: Conditions) -> None:
    x, top = how.yaw * 1.7, who.eye_height
    side = -1.0 if how.light > 0 else 1.0
    canvas.paint(x + side * 0.018, top + who.nose_length * 0.55, 0.2, who.skin * 0.6, glow(0.012, who.nose_length * 0.5, 0.45))
    canvas.paint(x, top + who.nose_length * 0.6, 0.2, np.minimum(who.skin * 1.15, 255), glow(0.013, who.nose_length * 0.5, 0.45))
    canvas.paint(x, top + who.nose_length + 0.012, 0.12, who.skin * 0.52, glow(who.nose_width * 0.85, 0.013, 0.6))
    for side in (-1, 1):
        canvas.paint(x + side * who.nose_width * 0.48, top + who.nose_length + 0.004, 0.05, who.skin * 0.22, glow(0.010, 0.007, 0.85))


def _mouth(canvas: Canvas, who: Traits, how: Conditions) -> None:
    x, y = how.yaw, who.mouth_height
    red = who.skin * (np.array([0.84, 0.56, 0.54]) * (1 - who.lip_red) + np.array([0.86, 0.34, 0.38]) * who.lip_red)
    bend = -how.smile
    if who.moustache:
        canvas.paint(x, y - who.lip - 0.014, 0.16, who.hair * 0.9, bar(who.mouth_width * 1.05, 0.014, bend=0.12, softness=0.012))
    canvas.paint(x, y, 0.18, red, bar(who.mouth_width, who.lip, bend=bend, softness=0.008))
    canvas.paint(x, y, 0.18, np.array([62.0, 24, 26]), bar(who.mouth_width * 0.95, 0.0035, bend=bend))
    canvas.paint(x, y + who.lip + 0.026, 0.12, who.skin * 0.6, glow(0.05, 0.011, 0.4))


def _marks(canvas: Canvas, who: Traits, how: Conditions) -> None:
    random = np.random.default_rng(who.marks)
    for _ in range(who.freckles):
        canvas.paint(how.yaw + random.normal(0, 0.07), 0.05 + random.normal(0, 0.03), 0.02, who.skin * 0.62, glow(0.004, 0.004, 0.7))
    if who.mole:
        canvas.paint(how.yaw + who.mole[0], who.mole[1], 0.03, who.skin * 0.28, ellipse(0.007, 0.007))


def _hair(canvas: Canvas, who: Traits) -> None:
    if who.bald:
        return
    distance = _outline(who)
    grey = who.hair * (1 + 0.15 * np.sin(canvas.u * 130)[..., None])

    def top(u: Plane, v: Plane) -> Plane:
        edge = v + who.hairline - 0.9 * (u - who.parting) ** 2 - who.curls * np.sin(u * 90)
        return fill(np.maximum(distance(u, v) - 0.014 - who.hair_volume, edge), 0.012)

    canvas.paint(0, 0, 0.5, grey, top)


def _glasses(canvas: Canvas, who: Traits, how: Conditions) -> None:
    if not who.glasses:
        return
    stretch = {1: 1.0, 2: 1.3, 3: 1.15}[who.glasses]
    thickness = {1: 0.006, 2: 0.012, 3: 0.008}[who.glasses]
    for side in (-1, 1):
        canvas.paint(how.yaw + side * who.eye_distance, who.eye_height, 0.12, who.frame, ring(0.054, thickness, stretch))
    canvas.paint(how.yaw, who.eye_height - 0.012, 0.08, who.frame, bar(max(who.eye_distance - 0.054 * stretch, 0.012), 0.004))


def _camera(pixels: Plane, how: Conditions, size: int) -> Image.Image:
    random = np.random.default_rng(how.camera)
    if how.occluded:
        pixels[int(size * (1 - how.occluded)) :] = how.clothes.astype(np.float32)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(how.blur * size / SIZE))
    exposed = np.asarray(image, np.float32) * (how.exposure * how.tint).astype(np.float32)
    noisy = exposed + random.normal(0, how.noise, exposed.shape).astype(np.float32)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def write_people(
    folder: Path,
    people: int,
    photos: int,
    seed: int = 0,
    first_person: int = 0,
    first_photo: int = 0,
    progress: Progress | None = None,
) -> None:
    """Writes folder/NAME/NAME_0001.jpg and so on; `progress` is called with (done, all) after each photo."""
    done = 0
    for identity in range(first_person, first_person + people):
        name = name_of(identity)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for photo in range(first_photo, first_photo + photos):
            output = io.BytesIO()
            draw(identity, photo, seed).save(output, "JPEG", quality=QUALITY)
            (folder / name / f"{name}_{photo + 1:04d}.jpg").write_bytes(output.getvalue())
            done += 1
            if progress:
                progress(done, people * photos)
