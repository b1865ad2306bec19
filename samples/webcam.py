"""Gaze of everyone before a webcam, followed from frame to frame.

    python samples/webcam.py [SOURCE [--headless]]

SOURCE is a webcam index (0 if not given) or a video file. q or Esc ends it. With --headless no
window is opened and each frame's gaze is printed.
"""

from __future__ import annotations

import math
import sys
import time

import cv2

from clipgaze_sdk import GazeEstimator, draw_result


def main(source: str = "0", *, headless: bool = False) -> int:
    is_camera = source.isdigit()
    capture = cv2.VideoCapture(int(source) if is_camera else source)
    if not capture.isOpened():
        print(f"cannot open {source}", file=sys.stderr)
        return 1

    frames = 0
    start_s = time.monotonic()
    with GazeEstimator() as estimator:
        while True:
            ok, image = capture.read()
            if not ok:
                break
            # A timestamp makes it a stream: faces are followed and keep their identity.
            elapsed_s = time.monotonic() - start_s
            stamp_s = elapsed_s if is_camera else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            result = estimator.estimate(image, timestamp_s=stamp_s)
            frames += 1
            if headless:
                for face in result.faces:
                    pitch_deg = math.degrees(face.gaze.pitch_rad)
                    yaw_deg = math.degrees(face.gaze.yaw_rad)
                    print(f"{stamp_s:.2f} s #{face.track_id} {pitch_deg:+.0f} {yaw_deg:+.0f} deg")
                continue
            cv2.imshow("gaze", draw_result(image, result))
            if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
                break
    capture.release()
    print(f"{frames} frames, {frames / (time.monotonic() - start_s):.1f} a second")
    return 0


if __name__ == "__main__":
    names = [argument for argument in sys.argv[1:] if argument != "--headless"]
    sys.exit(main(*names[:1], headless="--headless" in sys.argv))
