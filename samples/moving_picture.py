"""A clip with gaze drawn in, as a moving picture that web pages show (animated WebP).

    python samples/moving_picture.py [CLIP [PICTURE]]

Without arguments it reads samples/media/clip.mp4 and writes gaze.webp. OpenCV 4.11 or newer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from clipgaze_sdk import GazeEstimator, draw_result

CLIP = Path(__file__).parent / "media" / "clip.mp4"
EVERY = 2  # of the clip's frames is kept: half of them are enough, in half of the bytes


def main(clip: str = str(CLIP), picture: str = "gaze.webp") -> int:
    if not hasattr(cv2, "imwriteanimation"):
        print(f"OpenCV {cv2.__version__} writes no animations; 4.11 does", file=sys.stderr)
        return 1
    capture = cv2.VideoCapture(clip)
    fps = capture.get(cv2.CAP_PROP_FPS)
    if not capture.isOpened() or fps <= 0:
        print(f"cannot read {clip}", file=sys.stderr)
        return 1

    drawn = []
    with GazeEstimator() as estimator:
        for number in range(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))):
            ok, image = capture.read()
            if not ok:
                break
            result = estimator.estimate(image, timestamp_s=number / fps)
            if number % EVERY == 0:
                drawn.append(draw_result(image, result))

    animation = cv2.Animation()
    animation.frames = drawn
    animation.durations = [round(1000 * EVERY / fps)] * len(drawn)
    if not drawn or not cv2.imwriteanimation(picture, animation, [cv2.IMWRITE_WEBP_QUALITY, 70]):
        print(f"cannot write {picture}", file=sys.stderr)
        return 1
    print(f"written: {picture}, {len(drawn)} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
