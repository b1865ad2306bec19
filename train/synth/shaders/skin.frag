#version 330
#include common
uniform sampler2D skin_map;       // albedo (linear) painted per person
uniform vec3 skin_color, hair_color, cloth_color, cloth_color_2, teeth_color;
uniform float skin_gloss, skin_specular, bump, cloth_pattern;
in vec3 v_position, v_normal, v_model;
in vec2 v_uv, v_material;
out vec4 color;
void main() {
    vec3 n = normalize(v_normal);
    float kind = v_material.x;
    vec3 albedo;
    vec3 wrap = vec3(0.35, 0.18, 0.12);
    float gloss = skin_gloss, specular = skin_specular;
    if (kind < 0.5) {
        albedo = pow(texture(skin_map, v_uv).rgb, vec3(2.2));  // painted in sRGB
        vec2 d = texture(noise_map, v_uv * 9.0).zw - 0.5;
        n = normalize(n + bump * vec3(d, 0.0));
    } else if (kind < 1.5) {
        albedo = skin_color * (0.9 + 0.2 * texture(noise_map, v_uv * 3.0).y);
    } else if (kind < 2.5) {
        albedo = vec3(0.25, 0.06, 0.05);
        wrap = vec3(0.0);
    } else if (kind < 3.5) {
        albedo = teeth_color;
        gloss = 60.0;
    } else {
        albedo = skin_color * vec3(0.55, 0.35, 0.3);
    }
    if (kind > 1.5) {  // inside mouth and eye sockets little light arrives
        color = vec4(tone(albedo * (0.35 * ambient(n) + 0.12 * light_color[0])), 1.0);
        if (kind < 3.5 && kind > 2.5) color = vec4(tone(shade(v_position, n, albedo, vec3(0.1), 60.0, 0.5) * 0.55), 1.0);
        return;
    }
    if (v_material.y > 0.5) {
        float stripe = texture(noise_map, v_model.xy * vec2(0.004, 0.0006) * cloth_pattern).x;
        albedo = mix(cloth_color, cloth_color_2, smoothstep(0.45, 0.55, stripe));
        albedo *= 0.8 + 0.4 * texture(noise_map, v_model.xy * 0.02).w;
        wrap = vec3(0.0);
        specular = 0.0;
    }
    color = vec4(tone(shade(v_position, n, albedo, wrap, gloss, specular)), 1.0);
}
