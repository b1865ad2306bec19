"""A clip with gaze drawn in, as a moving picture that web pages show (animated WebP).

    python samples/moving_picture.py [CLIP [PICTURE]]

Without arguments it reads samples/media/clip.mp4 and writes gaze.webp. OpenCV 4.11 or newer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from clipgaze_sdk import ClipGazeError, GazeEstimator, draw_result
from clipgaze_sdk.media.sources import open_source

CLIP = Path(__file__).parent / "media" / "clip.mp4"
EVERY = 2  # of the clip's frames is kept: half of them are enough, in half of the bytes
FRAME_MS = 67  # how long each is shown: 15 a second, of a clip of 30


def main(clip: str = str(CLIP), picture: str = "gaze.webp") -> int:
    if not hasattr(cv2, "imencodeanimation"):
        print(f"OpenCV {cv2.__version__} writes no animations; 4.11 does", file=sys.stderr)
        return 1

    drawn = []
    with GazeEstimator() as estimator:
        for number, frame in enumerate(open_source(clip).frames()):
            result = estimator.estimate(frame.image, timestamp_s=frame.timestamp_s)
            if number % EVERY == 0:
                drawn.append(draw_result(frame.image, result))

    animation = cv2.Animation()
    animation.frames = drawn
    animation.durations = [FRAME_MS] * len(drawn)
    encoded = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, 70])[1]
    Path(picture).write_bytes(encoded.tobytes())
    print(f"written: {picture}, {len(drawn)} frames")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except ClipGazeError as error:
        sys.exit(f"error: {error}")
