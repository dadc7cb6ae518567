"""Traits of a synthetic person and conditions of a photo, each from a generator of its own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_assets.demo.drawing import Colour, View

SKINS = [(255, 222, 196), (243, 200, 168), (226, 176, 136), (198, 144, 104), (172, 120, 86), (146, 100, 72), (122, 84, 62)]
HAIRS = [
    (28, 22, 20),
    (58, 38, 24),
    (94, 62, 36),
    (140, 98, 52),
    (196, 160, 96),
    (226, 200, 150),
    (150, 66, 30),
    (128, 128, 130),
    (208, 208, 206),
]
IRISES = [(66, 42, 24), (98, 66, 36), (70, 104, 66), (70, 104, 142), (110, 130, 140), (40, 30, 24)]
GIVEN = [
    "Ada",
    "Björn",
    "Chloé",
    "Dimitri",
    "Esra",
    "Farid",
    "Grete",
    "Hana",
    "Iván",
    "Jun",
    "Kofi",
    "Łucja",
    "Mei",
    "Nadia",
    "Olu",
    "Priya",
]
FAMILY = [
    "Adler",
    "Bianchi",
    "Castro",
    "Dąbrowski",
    "Evans",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jansen",
    "Kaya",
    "Lindqvist",
    "Mbeki",
    "Ng",
]


@dataclass(frozen=True)
class Traits:
    """Traits of a person: colours, and lengths as shares of the picture's side."""

    skin: Colour
    hair: Colour
    iris: Colour
    face_width: float
    face_height: float
    jaw: float
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_slant: float
    brow_thickness: float
    brow_height: float
    brow_bend: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip: float
    lip_red: float
    ear: float
    hairline: float
    hair_volume: float
    hair_length: float
    parting: float
    curls: float
    bald: bool
    beard: float
    moustache: float
    glasses: int
    frame: Colour
    freckles: int
    mole: tuple[float, float] | None
    marks: int


def traits(identity: int, seed: int = 0) -> Traits:
    """Returns the traits of a person, the same for the same number and seed."""
    random = np.random.default_rng([seed, identity, 1])

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def one_of(colours: list[tuple[int, int, int]], spread: float) -> Colour:
        return np.clip(np.array(colours[int(random.integers(len(colours)))]) * random.uniform(1 - spread, 1 + spread, 3), 8, 255)

    bearded = random.random() < 0.35
    return Traits(
        skin=one_of(SKINS, 0.05),
        hair=one_of(HAIRS, 0.15),
        iris=one_of(IRISES, 0.15),
        face_width=between(0.185, 0.25),
        face_height=between(0.27, 0.335),
        jaw=between(0.05, 0.34),
        eye_distance=between(0.082, 0.112),
        eye_height=between(-0.065, -0.02),
        eye_width=between(0.036, 0.056),
        eye_opening=between(0.014, 0.025),
        eye_slant=between(-0.16, 0.16),
        brow_thickness=between(0.004, 0.016),
        brow_height=between(0.048, 0.078),
        brow_bend=between(0.0, 0.4),
        nose_length=between(0.115, 0.175),
        nose_width=between(0.036, 0.068),
        mouth_height=between(0.175, 0.225),
        mouth_width=between(0.06, 0.11),
        lip=between(0.009, 0.027),
        lip_red=between(0.0, 1.0),
        ear=between(0.03, 0.055),
        hairline=between(0.15, 0.24),
        hair_volume=between(0.0, 0.07),
        hair_length=between(0.0, 0.42) if random.random() < 0.6 else 0.0,
        parting=between(-0.16, 0.16),
        curls=between(0.0, 0.014),
        bald=bool(random.random() < 0.12),
        beard=between(0.4, 0.9) if bearded else 0.0,
        moustache=between(0.4, 0.9) if bearded or random.random() < 0.1 else 0.0,
        glasses=int(random.integers(1, 4)) if random.random() < 0.25 else 0,
        frame=random.uniform(10, 110, 3),
        freckles=int(random.integers(15, 45)) if random.random() < 0.2 else 0,
        mole=(between(-0.13, 0.13), between(0.02, 0.2)) if random.random() < 0.4 else None,
        marks=int(random.integers(2**31)),
    )


@dataclass(frozen=True)
class Conditions:
    """Conditions of a photo: position and expression of the face, light, camera."""

    view: View
    yaw: float
    smile: float
    gaze: float
    light: float
    exposure: float
    tint: npt.NDArray[np.float64]
    blur: float
    noise: float
    occluded: float
    background: npt.NDArray[np.float64]
    clothes: Colour
    camera: int


def conditions(identity: int, photo: int, seed: int = 0) -> Conditions:
    """Returns the conditions of a person's photo, the same for the same numbers and seed."""
    random = np.random.default_rng([seed, identity, photo, 2])

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    return Conditions(
        view=View(between(-0.05, 0.05), between(-0.05, 0.04), between(0.9, 1.12), between(-0.16, 0.16)),
        yaw=between(-0.022, 0.022),
        smile=between(-0.15, 0.55),
        gaze=between(-0.008, 0.008),
        light=between(-0.3, 0.3),
        exposure=between(0.9, 1.2),
        tint=random.uniform(0.94, 1.06, 3),
        blur=between(0.4, 1.4),
        noise=between(1.0, 6.0),
        occluded=between(0.2, 0.32) if random.random() < 0.06 else 0.0,
        background=random.uniform(30, 225, (2, 3)),
        clothes=random.uniform(20, 235, 3),
        camera=int(random.integers(2**31)),
    )


def name_of(identity: int) -> str:
    """Returns an invented name, one a person, some with letters beyond ASCII."""
    number, family = divmod(identity, len(FAMILY))
    given = (number + family) % len(GIVEN)
    rounds = identity // (len(GIVEN) * len(FAMILY))
    return f"{GIVEN[given]} {FAMILY[family]}" + (f" {rounds + 1}" if rounds else "")
