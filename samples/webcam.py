"""Gaze of everyone before a webcam, followed from frame to frame.

    python samples/webcam.py [SOURCE [--headless]]

SOURCE is a webcam index (0 if not given) or a video file. q or Esc ends it. With --headless, or
where no window can be opened, each frame's gaze is printed.
"""

from __future__ import annotations

import math
import sys
import time

import cv2

from clipgaze_sdk import ClipGazeError, GazeEstimator, draw_result
from clipgaze_sdk.media.opencv_build import window_is_available
from clipgaze_sdk.media.sources import open_source


def main(source: str = "0", *, headless: bool = False) -> int:
    headless = headless or not window_is_available()
    frames = 0
    start_s = time.monotonic()
    stream = open_source(source)
    with GazeEstimator() as estimator:
        for frame in stream.frames():
            # A timestamp makes it a stream: faces are followed and keep their identity.
            result = estimator.estimate(frame.image, timestamp_s=frame.timestamp_s)
            frames += 1
            if headless:
                for face in result.faces:
                    pitch_deg = math.degrees(face.gaze.pitch_rad)
                    yaw_deg = math.degrees(face.gaze.yaw_rad)
                    when = f"{frame.timestamp_s or 0.0:.2f} s"
                    print(f"{when} #{face.track_id} {pitch_deg:+.0f} {yaw_deg:+.0f} deg")
                continue
            cv2.imshow("gaze", draw_result(frame.image, result))
            if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
                break
    stream.close()
    print(f"{frames} frames, {frames / (time.monotonic() - start_s):.1f} a second")
    return 0


if __name__ == "__main__":
    names = [argument for argument in sys.argv[1:] if argument != "--headless"]
    try:
        sys.exit(main(*names[:1], headless="--headless" in sys.argv))
    except ClipGazeError as error:
        sys.exit(f"error: {error}")
