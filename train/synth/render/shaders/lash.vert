#version 330
// Eyelashes: ribbons in the head frame (mm) with how much of a pixel they cover.
uniform mat4 camera_from_model;
uniform mat4 clip_from_camera;
in vec4 strand;  // position, cover
out float v_cover;
void main() {
    v_cover = strand.w;
    gl_Position = clip_from_camera * (camera_from_model * vec4(strand.xyz, 1.0));
}
