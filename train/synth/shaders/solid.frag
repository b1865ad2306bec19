#version 330
#include common
uniform vec3 base_color;
uniform float solid_gloss, solid_specular, alpha, reflection;
in vec3 v_position, v_normal, v_model;
in vec2 v_uv, v_material;
out vec4 color;
void main() {
    vec3 view = normalize(-v_position);
    vec3 n = normalize(v_normal);
    if (dot(n, view) < 0.0) n = -n;
    vec3 c = shade(v_position, n, base_color, vec3(0.0), solid_gloss, solid_specular);
    if (reflection > 0.0) {  // lenses mirror a window-like patch and the sky
        vec3 r = reflect(-view, n);
        float f = schlick(dot(n, view), 0.05);
        float window = smoothstep(0.15, 0.2, texture(noise_map, r.xy * 0.35 + 0.3).x - 0.42);
        vec3 mirrored = ambient(r) * 1.5 + window * reflection * light_color[0] * 2.0;
        float a = clamp(alpha + f * reflection + window * reflection * 0.35, 0.0, 1.0);
        color = vec4(tone(mix(c, mirrored, clamp(f + window * 0.3, 0.0, 1.0) * reflection)), a);
        return;
    }
    color = vec4(tone(c), alpha);
}
