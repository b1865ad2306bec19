#version 330
#include common
uniform vec3 hair_color;
uniform float strand_scale, strand_turn, hair_gloss;
in vec3 v_position, v_normal;
in vec2 v_uv;
in float v_density, v_layer;
out vec4 color;
void main() {
    vec2 turned = mat2(cos(strand_turn), sin(strand_turn), -sin(strand_turn), cos(strand_turn)) * v_uv;
    float strand = texture(noise_map, turned * vec2(strand_scale, strand_scale * 0.12)).w;
    float clump = texture(noise_map, turned * vec2(strand_scale * 0.2, strand_scale * 0.05)).z;
    float keep = 0.55 * strand + 0.45 * clump;
    if (v_density < 0.02 || keep < 0.62 * v_layer + (1.0 - v_density) * 0.75) discard;
    vec3 n = normalize(v_normal + 0.8 * (vec3(strand, clump, 0.5) - 0.5));
    float root = mix(0.35, 1.0, v_layer);
    vec3 albedo = hair_color * root * (0.6 + 0.8 * strand);
    color = vec4(tone(shade(v_position, n, albedo, vec3(0.2), hair_gloss, 0.6)), 1.0);
}
