#version 330
#include common
uniform vec3 base_color;
uniform vec2 lash_cover;   // of the upper and the lower lid, at the root
uniform float lash_length; // 0..1 of the modelled length
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;  // material: x root (0) to tip (1), y 1 on the upper lid
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    float tip = v_material.x / (v_material.y > 0.5 ? lash_length : 0.35 * lash_length);
    float comb = texture(noise_map, vec2(v_uv.x * 1.5, 0.3)).w;
    float cover = mix(lash_cover.y, lash_cover.x, v_material.y) * (1.0 - tip) * (0.4 + 1.2 * comb);
    if (cover < 0.02) discard;
    kind_seen = as_class(0.0, 0.0);
    color = finish(base_color * (irradiance(normalize(v_normal)) + 0.3 * light_color[0]), min(cover, 1.0));
}
