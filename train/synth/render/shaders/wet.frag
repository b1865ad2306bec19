#version 330
// The tear film along the lids: clear, with a narrow highlight.
#include common
uniform vec3 skin_color;
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    vec3 view = normalize(-v_position);
    vec3 n = normalize(v_normal);
    vec3 spec = light_color[0] * v_shadow.x * highlight(n, view, 0, 90.0) + light_color[1] * v_shadow.y * highlight(n, view, 1, 90.0);
    vec3 base = mix(skin_color, vec3(0.5, 0.28, 0.25), 0.6) * v_diffuse;
    kind_seen = as_class(0.0, 0.0);
    color = finish(base + min(spec, 1.2), 0.45);
}
