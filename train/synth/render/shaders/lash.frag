#version 330
#include common
uniform vec3 base_color;
uniform vec3 face_ahead;  // unit, out of the face, camera frame: fibres are lit as what they stand on
in float v_cover;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    vec3 light = irradiance(face_ahead) + 0.4 * light_color[0] * max(dot(face_ahead, light_direction[0]), 0.0);
    kind_seen = as_class(0.0, 0.0);
    color = finish(base_color * light, clamp(v_cover, 0.0, 1.0));
}
