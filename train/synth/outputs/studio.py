"""The studio: one person at a time as a picture, a face crop or a cut-out.

Each of these, as whole frames and clips, is a pure function of (seed, index, domain): neither the
order in which they are made nor the process that makes them changes anything.  Faces over
``MOST_FACE_PX`` are drawn at that size; labels hold the camera matrix of what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.faces.eye_sheet import eye_middles
from clipgaze_sdk.geometry import (
    HeadPose,
    angles_from_vector,
    head_pose_from_landmarks,
)
from train.factors import factor, with_factor
from train.synth.chances import sample_picture_factors
from train.synth.figure.facekit import FaceKit
from train.synth.figure.people import People, Person
from train.synth.outputs.disturb import assumed_matrix, noisy_landmarks
from train.synth.outputs.framing import (
    BAND_REACH_PX,
    CROP_REACH_PX,
    CUTOUT_FACE_PX,
    CUTOUT_WINDOW,
    HALF_WINDOW,
    MOST_FACE_PX,
    around,
    clipped,
    scaled,
    shown,
)
from train.synth.outputs.light import (
    HEADROOM,
    Pixels,
    composed,
    encode_light,
    exposed,
    face_light,
)
from train.synth.outputs.normalization import (
    NORMALIZATION,
    cut_classes,
    moved_points,
    sampled,
    sight_rotation,
)
from train.synth.outputs.records import (
    Floats,
    Record,
    appearance,
    geometry,
    moved,
    plain,
    surroundings,
)
from train.synth.places.backgrounds import Backgrounds
from train.synth.places.lighting import backdrop
from train.synth.places.photographed import Panorama
from train.synth.render.posing import Labels, Posed
from train.synth.render.renderer import Drawn, Renderer
from train.synth.render.scene import Scene, Window, make_scene
from train.synth.render.sensor import metered
from train.synth.streams import Streams
from train.synth.variety import Domain

Switches = Mapping[str, bool]

VERSION = 2
"""Raised whenever the same seed gives other pictures, so that shards of two kinds never mix."""

PICTURES_PER_PERSON = 8
"""Of shards, all versions of them."""
KNOWN_PEOPLE = 8
"""People who are kept: as many as a frame of several faces draws from."""

PERSON, PICTURE, FRAME, CLIP = 1, 2, 3, 4
"""Second numbers of the streams' keys."""


@dataclass(slots=True)
class Picture:
    """One person as a camera saw them: the part of its frame around the face."""

    rgb: Pixels
    """(height, width, 3); smaller than the window where the frame ends."""
    classes: Pixels
    """(height, width), see :class:`~train.synth.render.renderer.Drawn`."""
    labels: Labels
    """In this picture's pixels."""
    window: Window
    """Which part of the frame this is."""
    frame_px: tuple[int, int]
    scale: float
    """Size of what is drawn over the size that the domain's camera saw; below 1 for near faces."""
    person: Person
    scene: Scene
    record: Record
    """All labels and factors, ready for JSON."""


@dataclass(slots=True)
class Crop:
    """A normalised face crop, made of a :class:`Picture` as the SDK makes it."""

    rgb: Pixels
    """(224, 224, 3)."""
    classes: Pixels
    """(112, 224) what the pixels of :data:`CLASS_ROWS` show: 0 nothing of these or outside of the
    picture, 1 skin, 2 the white of an eye, 3 iris, 4 pupil, 5 glasses."""
    gaze: Floats
    """(2,) pitch and yaw in the normalised camera, as the SDK turns it back to the camera's."""
    sight_gaze: Floats
    """(2,) pitch and yaw in the camera that the crop's pixels show: see
    :func:`train.synth.outputs.normalization.sight_rotation`.  Equal to ``gaze`` unless the camera
    matrix was wrong."""
    head: Floats
    """(2,) pitch and yaw of the head in the normalised camera."""
    seen_head: Floats
    """(2,) the same as run time finds it, from landmarks with errors and the assumed camera."""
    crop_from_camera: Floats
    """(3, 3) rotation; its transpose turns a prediction back into the camera's frame."""
    picture_from_crop: Floats
    """(3, 3) homography between pixels."""
    landmarks_px: Floats
    """(70, 2) true landmarks and irises, in the crop."""
    rims_px: Floats
    """(2, 8, 2) true points of the irises' rims, in the crop."""
    seen_eyes_px: Floats
    """(2, 2) middle of each eye's two corners as run time finds them, in the crop."""
    picture: Picture
    record: Record


@dataclass(slots=True)
class Cutout:
    """Head and shoulders on nothing; see :func:`encode_light` for the bytes."""

    rgb: Pixels
    """(height, width, 3) encoded linear light, premultiplied by the coverage."""
    alpha: Pixels
    """(height, width) coverage, linear, 255 covered."""
    labels: Labels
    record: Record


class Studio:
    """Draws people of one face model with one OpenGL context; not shared between threads.

    ``pictures_per_person`` pictures in a row show one person, who is made once.  Raises
    :class:`RuntimeError` when no EGL context can be made.
    """

    def __init__(
        self,
        kit: FaceKit,
        *,
        pictures_per_person: int = PICTURES_PER_PERSON,
        panoramas: tuple[Panorama, ...] = (),
    ) -> None:
        self.kit = kit
        self.panoramas = panoramas
        self.pictures_per_person = pictures_per_person
        self.people = People(kit)
        self.renderer = Renderer(kit)
        self.backgrounds = Backgrounds()
        self._known: list[tuple[Any, Person]] = []

    def person(
        self, seed: int, number: int, domain: Domain, switched: Switches | None = None
    ) -> Person:
        """Person ``number`` with the domain's looks; the last few are kept.

        ``switched`` forces factors of the person on or off.  Raises :class:`ValueError` for a
        factor that follows a face's shape.
        """
        key = (seed, number, domain, switched)
        for known, person in self._known:
            if known == key:
                return person
        streams = Streams(seed, PERSON, number)
        person = self.people.sample(streams, domain)
        on = dict(person.factors)
        for name, value in (switched or {}).items():
            if factor(name).scope == "identity":
                raise ValueError(f"{name} follows the face's shape and cannot be switched")
            if factor(name).scope == "person":
                on = with_factor(on, name, value)
        if on != person.factors:
            person = self.people.make(streams, on)
        self._known = [(key, person), *self._known[: KNOWN_PEOPLE - 1]]
        return person

    def draw(
        self,
        person: Person,
        scene: Scene,
        window: Window,
        pose: tuple[Posed, Labels] | None = None,
    ) -> Drawn:
        """:meth:`train.synth.render.renderer.Renderer.render`, beside other GL contexts."""
        with self.renderer.context.gl:
            return self.renderer.render(person, scene, window, pose)

    def picture(
        self,
        seed: int,
        index: int,
        domain: Domain,
        *,
        switched: Switches | None = None,
        most_face_px: float = MOST_FACE_PX,
    ) -> Picture:
        """One person as a camera saw them, about ±126 mm around the face centre.

        ``switched`` forces factors on or off, whatever the chances are.
        """
        person, scene = self._scene(seed, index, domain, switched)
        scale = min(1.0, most_face_px / scene.face_px)
        scene = scaled(scene, scale)
        wide = around(scene, HALF_WINDOW, HALF_WINDOW, HALF_WINDOW)
        window = clipped(wide, scene.frame_px)
        drawn = self.draw(person, scene, window)
        return self._taken(
            drawn, person, scene, scale, self._meta(person, scene, seed, index, domain)
        )

    def crop(
        self,
        seed: int,
        index: int,
        domain: Domain,
        *,
        switched: Switches | None = None,
        clean: bool = False,
        band: bool = False,
    ) -> Crop:
        """The picture of the same index, normalised as at run time.

        The landmarks have the errors that a landmark network makes and the camera's focal length
        is often wrong, unless ``clean``.  No more of the picture is drawn than the crop shows, and
        landmarks outside of that count as visible; beyond it, the picture's border is repeated.
        ``band`` draws rows 32 to 127 only: for training gaze networks, in less time.
        """
        person, scene = self._scene(seed, index, domain, switched)
        scale = min(1.0, MOST_FACE_PX / scene.face_px)
        scene = scaled(scene, scale)
        pose = self.renderer.pose(person, scene)
        # Which landmarks are hidden is known when all is drawn; until then, as if none were.
        known = _known(scene, pose[1], clean=clean)
        warp = normalization(*known, scene.frame_px)[2]
        reach = shown(warp, BAND_REACH_PX if band else CROP_REACH_PX)
        window = clipped(reach, scene.frame_px)
        drawn = self.draw(person, scene, window, pose)
        meta = self._meta(person, scene, seed, index, domain)
        picture = self._taken(drawn, person, scene, scale, meta)
        return normalized(picture, *_known(scene, picture.labels, clean=clean))

    def cutout(
        self,
        seed: int,
        index: int,
        domain: Domain,
        *,
        face_px: float = CUTOUT_FACE_PX,
        switched: Switches | None = None,
    ) -> Cutout:
        """The person of the picture of the same index on nothing, always of one size.

        No sensor has been at work, so the factors of the image's quality other than light are for
        whoever composes the cut-out with a background.
        """
        person, scene = self._scene(seed, index, domain, switched)
        scale = face_px / scene.face_px
        scene = scaled(scene, scale)
        window = around(scene, *CUTOUT_WINDOW)
        drawn = self.draw(person, scene, window)
        labels = moved(drawn.labels, left=window[0], top=window[1])
        record = geometry(labels) | self._meta(person, scene, seed, index, domain)
        record |= {"drawn_scale": round(scale, 6), "headroom": HEADROOM}
        record["backdrop"] = plain(backdrop(scene.lighting), 5)
        alpha = np.round(np.clip(drawn.rgba[..., 3], 0, 1) * 255).astype(np.uint8)
        return Cutout(encode_light(drawn.rgba[..., :3]), alpha, labels, record)

    def develop(self, drawn: Drawn, scene: Scene, *, noise: str = "exposure") -> Pixels:
        """A drawn window before the scene's background, as the scene's sensor sees it.

        ``noise`` names the stream of the sensor's noise, so that frames of a clip differ by it.
        """
        width, height = drawn.window[2:]
        behind = self.backgrounds.sample(
            scene.streams("background"), scene.background, width, height, scene.lighting
        )
        light = composed(drawn.rgba, behind)
        sensor = metered(scene.sensor, face_light(drawn.rgba, drawn.window, drawn.labels))
        return exposed(scene.streams(noise), light, sensor, drawn.window, scene.frame_px)

    def _taken(
        self, drawn: Drawn, person: Person, scene: Scene, scale: float, meta: Record
    ) -> Picture:
        """The picture of what was drawn; what its window leaves out of the frame is not hidden."""
        window = drawn.window
        left, top, width, height = window
        in_frame, labels = drawn.labels, moved(drawn.labels, left=left, top=top)
        beyond = _outside(labels.landmarks_px, (width, height))
        labels.visible[:68] |= beyond & ~_outside(in_frame.landmarks_px, scene.frame_px)
        record = geometry(labels) | meta
        record |= {"drawn_scale": round(scale, 6), "window": list(window)}
        record |= {"frame_px": list(scene.frame_px)}
        rgb = self.develop(drawn, scene)
        return Picture(
            rgb, drawn.classes, labels, window, scene.frame_px, scale, person, scene, record
        )

    def _scene(
        self, seed: int, index: int, domain: Domain, switched: Switches | None
    ) -> tuple[Person, Scene]:
        person = self.person(seed, index // self.pictures_per_person, domain, switched)
        streams = Streams(seed, PICTURE, index)
        on = sample_picture_factors(streams, person.factors, domain)
        for name, value in (switched or {}).items():
            if factor(name).scope == "picture":
                on = with_factor(on, name, value)
        return person, make_scene(streams, domain, on, self.panoramas)

    def _meta(self, person: Person, scene: Scene, seed: int, index: int, domain: Domain) -> Record:
        number = index // self.pictures_per_person
        about = appearance(person, f"{seed}-{number}", scene.factors, scene.streams)
        about |= surroundings(scene.lighting, scene.background)
        return about | {"domain": domain.name, "seed": seed, "index": index}


def _outside(points: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(N,) whether points (N, 2) round to no pixel of a picture (width, height)."""
    pixels = points.round()
    return np.asarray(((pixels < 0) | (pixels >= size)).any(1))


def _known(scene: Scene, labels: Labels, *, clean: bool) -> tuple[Floats, Floats]:
    """Landmarks (68, 2) and camera matrix (3, 3) as run time has them, or the true ones."""
    if clean:
        return labels.landmarks_px, labels.camera_matrix
    rng = scene.streams("landmark errors")
    marks = noisy_landmarks(rng, labels.landmarks_px, labels.visible[:68])
    return marks, assumed_matrix(rng, labels.camera_matrix)


def normalization(
    landmarks: Floats, matrix: Floats, size: tuple[int, int]
) -> tuple[HeadPose, Floats, Floats]:
    """Pose of the head, rotation (3, 3) into the normalised camera, and picture from crop (3, 3).

    As the SDK finds them, of landmarks (68, 2) and a camera matrix (3, 3) of a picture (width,
    height).
    """
    camera = Camera(matrix, size_px=size)
    pose = head_pose_from_landmarks(landmarks, camera)
    turn = NORMALIZATION.rotation(pose.translation_mm, pose.camera_from_head)
    return pose, turn, NORMALIZATION.image_from_crop(camera, pose.translation_mm, turn)


def normalized(picture: Picture, landmarks: Floats, matrix: Floats) -> Crop:
    """Cut the normalised face out of a picture as the SDK does.

    ``landmarks`` (68, 2) and ``matrix`` (3, 3) are what run time would know of it; the labels are
    the true gaze and head, turned into the camera that follows from them.
    """
    labels = picture.labels
    height, width = picture.rgb.shape[:2]
    pose, turn, warp = normalization(landmarks, matrix, (width, height))
    rgb = sampled(picture.rgb, warp, NORMALIZATION.size_px)
    classes = cut_classes(picture.classes, warp)
    into_crop = np.asarray(np.linalg.inv(warp), np.float64)
    in_crop = moved_points(np.vstack([labels.landmarks_px, labels.irises_px]), into_crop)
    rims = moved_points(labels.rims_px.reshape(-1, 2), into_crop).reshape(2, -1, 2)
    seen_eyes = eye_middles(moved_points(landmarks, into_crop))
    sight = sight_rotation(turn, matrix, labels.camera_matrix)
    forward = np.array([0.0, 0.0, -1.0])
    gaze = np.array(angles_from_vector(turn @ labels.gaze))
    sight_gaze = np.array(angles_from_vector(sight @ labels.gaze))
    head = np.array(angles_from_vector(turn @ labels.camera_from_head @ forward))
    seen_head = np.array(angles_from_vector(turn @ pose.camera_from_head @ forward))
    record = dict(picture.record)
    for name in ("landmarks_px", "irises_px", "iris_rims_px", "bbox_px", "camera_matrix"):
        record[f"picture_{name}"] = record.pop(name)
    record |= {
        "crop_gaze_pitch_yaw_rad": plain(gaze, 7),
        "crop_sight_gaze_pitch_yaw_rad": plain(sight_gaze, 7),
        "crop_head_pitch_yaw_rad": plain(head, 7),
        "crop_seen_head_pitch_yaw_rad": plain(seen_head, 7),
        "crop_from_camera": plain(turn, 8),
        "picture_from_crop": plain(warp, 8),
        "landmarks_px": plain(in_crop[:68], 3),
        "irises_px": plain(in_crop[68:], 3),
        "iris_rims_px": plain(rims, 3),
        "seen_eyes_px": plain(seen_eyes, 3),
        "assumed_camera_matrix": plain(matrix, 5),
    }
    return Crop(
        rgb=rgb,
        classes=classes,
        gaze=gaze,
        sight_gaze=sight_gaze,
        head=head,
        seen_head=seen_head,
        crop_from_camera=turn,
        picture_from_crop=warp,
        landmarks_px=in_crop,
        rims_px=rims,
        seen_eyes_px=seen_eyes,
        picture=picture,
        record=record,
    )
