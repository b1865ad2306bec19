#version 330
// Cards of hair, lit per vertex.  `position`, `tangent` and `normal` are in the head frame (mm).
#include common
uniform mat4 camera_from_model;
uniform mat4 clip_from_camera;
uniform vec3 hair_color;
in vec3 position;
in vec3 tangent;  // root to tip
in vec3 normal;   // of the smooth surface that the hair forms
in vec2 uv;
in float tint;
out vec3 v_diffuse;  // light that reaches the fibres
out vec2 v_lit;      // the share of it from each of the two strongest lights
out vec2 v_across;   // the tangent's cosine with their half vectors
out vec3 v_rim;      // light from behind that comes through at the edge
out vec2 v_uv;
void main() {
    vec4 p = camera_from_model * vec4(position, 1.0);
    vec3 t = mat3(camera_from_model) * tangent;
    vec3 n = mat3(camera_from_model) * normal;
    vec3 view = normalize(-p.xyz);
    float edge = 1.0 - abs(dot(n, view));
    v_diffuse = irradiance(n) * tint;
    v_rim = vec3(0.0);
    for (int i = 0; i < 3; ++i) {
        vec3 l = light_direction[i];
        float along = dot(t, l), behind = max(-dot(view, l), 0.0);
        float lit = clamp(0.3 + 0.7 * dot(n, l), 0.0, 1.0) * tint;
        v_diffuse += light_color[i] * lit * sqrt(1.0 - min(along * along, 0.99));
        if (i < 2) {
            v_lit[i] = lit;
            v_across[i] = dot(t, normalize(l + view));
        }
        v_rim += light_color[i] * behind * behind * edge * edge * 0.7 * tint;
    }
    v_rim *= 0.05 + sqrt(hair_color);
    v_uv = uv;
    gl_Position = clip_from_camera * p;
}
