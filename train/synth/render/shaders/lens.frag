#version 330
// Spectacle lenses: tint, and the room mirrored in the front surface.
#include common
uniform vec3 base_color;
uniform float alpha, reflection, hides;
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    vec3 view = normalize(-v_position);
    vec3 n = normalize(v_normal);
    if (dot(n, view) < 0.0) n = -n;
    vec3 r = reflect(-view, n);
    float f = schlick(dot(n, view), 0.08);
    vec3 mirrored = environment(r);
    for (int i = 0; i < 3; ++i) {
        float edge = cos(max(light_size[i], 0.02));
        mirrored += light_color[i] / (3.0 * max(light_size[i] * light_size[i], 0.01)) * smoothstep(edge - 0.003, edge + 0.001, dot(r, light_direction[i]));
    }
    // What is added (the mirror image) and what is held back (the tint), as one blended colour.
    vec3 added = mirrored * f * reflection;
    float held = clamp(alpha + 0.5 * f * reflection, 0.0, 1.0);
    kind_seen = as_class(5.0, hides);
    color = finish((base_color * v_diffuse * alpha + added) / max(held, 0.02), max(held, 0.02));
}
