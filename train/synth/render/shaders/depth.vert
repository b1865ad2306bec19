#version 330
uniform mat4 camera_from_model;
uniform mat4 clip_from_camera;
in vec3 position;
void main() { gl_Position = clip_from_camera * (camera_from_model * vec4(position, 1.0)); }
