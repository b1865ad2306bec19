#version 330
// Skin, cloth and solid things.  `position` and `normal` are in the head frame (millimetres).
uniform mat4 camera_from_model;
uniform mat4 clip_from_camera;
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec2 material;  // x: which surface, y: how much of it is cloth
out vec3 v_position;
out vec3 v_normal;
out vec3 v_model;
out vec2 v_uv;
out vec2 v_material;
void main() {
    vec4 p = camera_from_model * vec4(position, 1.0);
    v_position = p.xyz;
    v_normal = mat3(camera_from_model) * normal;
    v_model = position;
    v_uv = uv;
    v_material = material;
    gl_Position = clip_from_camera * p;
}
