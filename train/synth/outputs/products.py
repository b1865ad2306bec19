"""What is made of rendered people: pictures, face crops, cut-outs, whole frames and clips.

Each is a pure function of (seed, index, domain): neither the order in which they are made nor the
process that makes them changes anything.  Faces over :data:`MOST_FACE_PX` are drawn at that size,
because a face crop for the gaze network has 224 pixels across the same 140 mm; labels hold the
camera matrix of what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.faces.sampling import sample_crops
from clipgaze_sdk.geometry import (
    GazeNormalization,
    angles_from_vector,
    head_pose_from_landmarks,
)
from train.factors import factor, sample_picture_factors, with_factor
from train.synth.domains import Domain
from train.synth.figure.facekit import FaceKit
from train.synth.figure.people import People, Person
from train.synth.figure.posing import Labels
from train.synth.outputs.disturb import assumed_matrix, noisy_landmarks
from train.synth.outputs.records import Floats, Record, affine, appearance, geometry, moved, plain
from train.synth.places.backgrounds import Backgrounds
from train.synth.places.lighting import backdrop
from train.synth.render.renderer import Drawn, Renderer, Window
from train.synth.render.scene import Scene, make_scene
from train.synth.render.sensor import Sensor, expose
from train.synth.streams import Streams

if TYPE_CHECKING:
    from train.synth.outputs.clips import Clip
    from train.synth.outputs.frames import Frame

Pixels = NDArray[np.uint8]
Image = NDArray[np.float32]
Switches = Mapping[str, bool]

VERSION = 1
"""Raised whenever the same seed gives other pictures, so that shards of two kinds never mix."""

PICTURES_PER_PERSON = 8
MOST_FACE_PX = 224.0
BAND_FACE_PX = 150.0
"""The same for eye bands, which a network looks at in half the resolution (112 pixels)."""
BAND_REACH_PX = (-16.0, 14.0, 239.0, 146.0)
"""Left, top, right and bottom of what is drawn for an eye band, in pixels of the whole crop: rows
32 to 127, and a margin for errors of landmarks and for augmentation."""
HALF_WINDOW = 0.9
"""Half a picture's side, in units of 140 mm at the face."""
CUTOUT_FACE_PX = 200.0
CUTOUT_WINDOW = (1.25, 1.2, 1.3)
"""A cut-out's reach beside, above and below the face centre, in units of 140 mm."""
HEADROOM = 2.0
"""Linear light that a cut-out's byte 255 stands for."""

NORMALIZATION = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 224), center_px=(111.5, 111.5)
)

PERSON, PICTURE, FRAME, CLIP = 1, 2, 3, 4
"""Second numbers of the streams' keys."""


@dataclass(slots=True)
class Picture:
    """One person as a camera saw them: the part of its frame around the face."""

    rgb: Pixels
    """(height, width, 3); smaller than the window where the frame ends."""
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
    gaze: Floats
    """(2,) pitch and yaw in the normalised camera: what a network that sees the crop is to say."""
    head: Floats
    """(2,) pitch and yaw of the head in the normalised camera."""
    crop_from_camera: Floats
    """(3, 3) rotation; its transpose turns a prediction back into the camera's frame."""
    picture_from_crop: Floats
    """(3, 3) homography between pixels."""
    landmarks_px: Floats
    """(70, 2) true landmarks and irises, in the crop."""
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
    """Makes products of one face model with one OpenGL context; not shared between threads.

    Raises :class:`RuntimeError` when no EGL context can be made.
    """

    def __init__(self, kit: FaceKit) -> None:
        self.kit = kit
        self.people = People(kit)
        self.renderer = Renderer(kit)
        self.backgrounds = Backgrounds()
        self._known: list[tuple[Any, Person]] = []

    def person(
        self, seed: int, number: int, domain: Domain, switched: Switches | None = None
    ) -> Person:
        """Person ``number`` with the domain's looks; the last eight are kept.

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
        self._known = [(key, person), *self._known[: PICTURES_PER_PERSON - 1]]
        return person

    def draw(self, person: Person, scene: Scene, window: Window) -> Drawn:
        """:meth:`train.synth.render.renderer.Renderer.render`, beside other GL contexts."""
        with self.renderer.context.gl:
            return self.renderer.render(person, scene, window)

    def picture(
        self,
        seed: int,
        index: int,
        domain: Domain,
        *,
        switched: Switches | None = None,
        most_face_px: float = MOST_FACE_PX,
        band: bool = False,
    ) -> Picture:
        """One person as a camera saw them, about ±126 mm around the face centre.

        ``switched`` forces factors on or off, whatever the chances are.  ``band`` draws what an
        eye band shows and no more; landmarks outside of it then count as visible.
        """
        person, scene = self._scene(seed, index, domain, switched)
        scale = min(1.0, most_face_px / scene.face_px)
        scene = scaled(scene, scale)
        wide = around(scene, HALF_WINDOW, HALF_WINDOW, HALF_WINDOW)
        window = clipped(around_band(scene) if band else wide, scene.frame_px)
        drawn = self.draw(person, scene, window)
        rgb = self.develop(drawn, scene)
        labels = moved(drawn.labels, left=window[0], top=window[1])
        if band:
            inside = ((labels.landmarks_px >= 0) & (labels.landmarks_px < window[2:])).all(1)
            labels.visible[:68] |= ~inside
        record = geometry(labels) | self._meta(person, scene, seed, index, domain)
        record |= {"drawn_scale": round(scale, 6), "window": list(window)}
        record |= {"frame_px": list(scene.frame_px)}
        return Picture(rgb, labels, window, scene.frame_px, scale, person, scene, record)

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
        is often wrong, unless ``clean``.  ``band`` draws rows 32 to 127 only, beyond which the
        picture's border is repeated, and no sharper than a network needs that sees half the
        resolution: for training gaze networks, in 0.57 of the time.
        """
        most = BAND_FACE_PX if band else MOST_FACE_PX
        picture = self.picture(seed, index, domain, switched=switched, most_face_px=most, band=band)
        labels, rng = picture.labels, picture.scene.streams("landmark errors")
        marks = noisy_landmarks(rng, labels.landmarks_px, labels.visible[:68])
        matrix = assumed_matrix(rng, labels.camera_matrix)
        if clean:
            marks, matrix = labels.landmarks_px, labels.camera_matrix
        return normalized(picture, marks, matrix)

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

    def frame(self, seed: int, index: int, domain: Domain) -> Frame:
        """A whole camera frame with none to several people, by ``outputs.frames``."""
        from train.synth.outputs.frames import make_frame

        return make_frame(self, seed, index, domain)

    def clip(
        self, seed: int, index: int, domain: Domain, *, frames: int = 60, fps: float = 30.0
    ) -> Clip:
        """A person who moves; its frames are drawn one by one, by ``outputs.clips``."""
        from train.synth.outputs.clips import make_clip

        return make_clip(self, seed, index, domain, frames=frames, fps=fps)

    def develop(self, drawn: Drawn, scene: Scene, *, noise: str = "exposure") -> Pixels:
        """A drawn window before the scene's background, as the scene's sensor sees it.

        ``noise`` names the stream of the sensor's noise, so that frames of a clip differ by it.
        """
        width, height = drawn.window[2:]
        behind = self.backgrounds.sample(
            scene.streams("background"), scene.background, width, height, scene.lighting
        )
        light = composed(drawn.rgba, behind)
        return exposed(scene.streams(noise), light, scene.sensor, drawn.window, scene.frame_px)

    def _scene(
        self, seed: int, index: int, domain: Domain, switched: Switches | None
    ) -> tuple[Person, Scene]:
        person = self.person(seed, index // PICTURES_PER_PERSON, domain, switched)
        streams = Streams(seed, PICTURE, index)
        on = sample_picture_factors(streams, person.factors, domain)
        for name, value in (switched or {}).items():
            if factor(name).scope == "picture":
                on = with_factor(on, name, value)
        return person, make_scene(streams, domain, on)

    def _meta(self, person: Person, scene: Scene, seed: int, index: int, domain: Domain) -> Record:
        number = index // PICTURES_PER_PERSON
        about = appearance(person, f"{seed}-{number}", scene.factors, scene.streams)
        about |= {"light": scene.lighting.kind, "background": scene.background}
        return about | {"domain": domain.name, "seed": seed, "index": index}


def normalized(picture: Picture, landmarks: Floats, matrix: Floats) -> Crop:
    """Cut the normalised face out of a picture as the SDK does.

    ``landmarks`` (68, 2) and ``matrix`` (3, 3) are what run time would know of it; the labels are
    the true gaze and head, turned into the camera that follows from them.
    """
    height, width = picture.rgb.shape[:2]
    labels = picture.labels
    camera = Camera(matrix, size_px=(width, height))
    pose = head_pose_from_landmarks(landmarks, camera)
    turn = NORMALIZATION.rotation(pose.translation_mm, pose.camera_from_head)
    warp = NORMALIZATION.image_from_crop(camera, pose.translation_mm, turn)
    rgb = sampled(picture.rgb, warp, NORMALIZATION.size_px)
    points = np.vstack([labels.landmarks_px, labels.irises_px])
    in_crop = np.column_stack([points, np.ones(70)]) @ np.linalg.inv(warp).T
    in_crop = in_crop[:, :2] / in_crop[:, 2:]
    gaze = np.array(angles_from_vector(turn @ labels.gaze))
    facing = turn @ labels.camera_from_head @ np.array([0.0, 0.0, -1.0])
    head = np.array(angles_from_vector(facing))
    record = dict(picture.record)
    for name in ("landmarks_px", "irises_px", "bbox_px", "camera_matrix"):
        record[f"picture_{name}"] = record.pop(name)
    record |= {
        "crop_gaze_pitch_yaw_rad": plain(gaze, 7),
        "crop_head_pitch_yaw_rad": plain(head, 7),
        "crop_from_camera": plain(turn, 8),
        "picture_from_crop": plain(warp, 8),
        "landmarks_px": plain(in_crop[:68], 3),
        "irises_px": plain(in_crop[68:], 3),
        "assumed_camera_matrix": plain(matrix, 5),
    }
    return Crop(rgb, gaze, head, turn, warp, in_crop, picture, record)


def sampled(image: Pixels, image_from_crop: Floats, size: tuple[int, int]) -> Pixels:
    """The SDK's sampling of an RGB image, kept as bytes; black outside of the image."""
    crop = sample_crops(
        np.ascontiguousarray(image),
        image_from_crop[None],
        width=size[0],
        height=size[1],
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        color="rgb",
    )[0]
    return np.ascontiguousarray(np.round(crop.transpose(1, 2, 0) * 255).astype(np.uint8))


def composed(rgba: Image, behind: Image) -> Image:
    """Premultiplied light (H, W, 4) before a background (H, W, 3)."""
    return np.asarray(rgba[..., :3] + behind * (1 - rgba[..., 3:]), np.float32)


def exposed(
    rng: np.random.Generator,
    light: Image,
    sensor: Sensor,
    window: Window,
    frame_px: tuple[int, int],
) -> Pixels:
    """The sensor's picture of a part of its frame: the lens is dark in the frame's corners."""
    if sensor.vignette > 0.01:
        x = (np.arange(window[2]) + window[0] + 0.5) / frame_px[0] * 2 - 1
        y = (np.arange(window[3]) + window[1] + 0.5) / frame_px[1] * 2 - 1
        gain = 1 - sensor.vignette * np.clip((y[:, None] ** 2 + x**2) / 2, 0, 1)
        light = light * gain[..., None].astype(np.float32)
        sensor = replace(sensor, vignette=0.0)
    return expose(rng, light, sensor)


def encode_light(light: Image) -> Pixels:
    """Linear light as bytes: ``255 * (light / HEADROOM) ** (1 / 2.2)``, clipped at both ends.

    The headroom keeps highlights that a darker exposure shows; the power spends the bytes on what
    is dark.
    """
    return np.asarray(
        np.round(np.clip(light / HEADROOM, 0, 1) ** np.float32(1 / 2.2) * 255), np.uint8
    )


_LIGHT = (HEADROOM * (np.arange(256) / 255) ** 2.2).astype(np.float32)


def decode_light(encoded: Pixels) -> Image:
    """Linear light of :func:`encode_light`'s bytes."""
    return np.asarray(cv2.LUT(encoded, _LIGHT), np.float32)


def scaled(scene: Scene, scale: float) -> Scene:
    """The scene as a camera of ``scale`` times the resolution sees it, its blur alike."""
    if scale == 1:
        return scene
    width, height = (max(1, round(n * scale)) for n in scene.frame_px)
    sensor = replace(
        scene.sensor,
        defocus_px=scene.sensor.defocus_px * scale,
        motion_px=scene.sensor.motion_px * scale,
        downscale=max(1.0, scene.sensor.downscale * scale),
    )
    return replace(
        scene,
        camera_matrix=affine(scale) @ scene.camera_matrix,
        frame_px=(width, height),
        sensor=sensor,
    )


def around(scene: Scene, beside: float, above: float, below: float) -> Window:
    """The part of the frame around the face centre, in units of 140 mm there."""
    center = scene.camera_matrix @ scene.face_center_mm
    x, y = center[:2] / center[2]
    size = scene.face_px
    left, top = round(x - beside * size), round(y - above * size)
    return left, top, round(x + beside * size) - left, round(y + below * size) - top


def around_band(scene: Scene) -> Window:
    """The part of the frame that the eye band of the normalised crop shows, with its margin."""
    camera = Camera(scene.camera_matrix, size_px=scene.frame_px)
    turn = NORMALIZATION.rotation(scene.face_center_mm, scene.camera_from_head)
    warp = NORMALIZATION.image_from_crop(camera, scene.face_center_mm, turn)
    left, top, right, bottom = BAND_REACH_PX
    corners = np.array([[left, top, 1], [right, top, 1], [left, bottom, 1], [right, bottom, 1]])
    pixels = corners @ warp.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low, high = np.floor(pixels.min(0)).astype(int), np.ceil(pixels.max(0)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def clipped(window: Window, frame_px: tuple[int, int]) -> Window:
    """The part of a window that is inside of the frame, at least one pixel."""
    left, top = max(window[0], 0), max(window[1], 0)
    right = min(window[0] + window[2], frame_px[0])
    bottom = min(window[1] + window[3], frame_px[1])
    return left, top, max(right - left, 1), max(bottom - top, 1)
