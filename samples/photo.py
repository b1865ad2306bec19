"""Gaze of everyone in a photograph, printed and drawn.

    python samples/photo.py [PHOTO [ANNOTATED]]

Without arguments it reads samples/media/portrait.jpg and writes gaze.jpg.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from clipgaze_sdk import ClipGazeError, GazeEstimator, draw_result
from clipgaze_sdk.media.pictures import read_image, write_image

PORTRAIT = Path(__file__).parent / "media" / "portrait.jpg"


def main(photo: str = str(PORTRAIT), annotated: str = "gaze.jpg") -> int:
    image = read_image(Path(photo))  # (H, W, 3) uint8, BGR, upright by its EXIF orientation

    with GazeEstimator() as estimator:
        result = estimator.estimate(image)

    for number, face in enumerate(result.faces):
        pitch_deg, yaw_deg = math.degrees(face.gaze.pitch_rad), math.degrees(face.gaze.yaw_rad)
        head_yaw_deg = math.degrees(face.head_pose.yaw_rad)
        print(
            f"face {number}: gaze pitch {pitch_deg:+.0f} yaw {yaw_deg:+.0f} deg "
            f"(sigma {math.degrees(face.gaze.uncertainty_rad):.0f}), head yaw {head_yaw_deg:+.0f} "
            f"deg, about {face.gaze.origin_mm[2] / 1000:.1f} m away"
        )
    if not result.faces:
        print("nobody in view")

    write_image(Path(annotated), draw_result(image, result))
    print(f"written: {annotated}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except ClipGazeError as error:
        sys.exit(f"error: {error}")
