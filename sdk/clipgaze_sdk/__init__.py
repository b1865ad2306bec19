"""3D gaze, head pose and face landmarks from any camera, on edge devices."""
