"""Drawing a scene with OpenGL, and the camera that takes the picture.

Scenes in, linear light and exact labels out; shaders lie beside.
"""
