#version 330
// Cloth, plastic, metal, hands.
#include common
uniform vec3 base_color;
uniform float solid_gloss, solid_specular, pattern, part_class;
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    vec3 view = normalize(-v_position);
    vec3 n = normalize(v_normal);
    if (dot(n, view) < 0.0) n = -n;
    vec3 albedo = base_color;
    if (pattern > 0.0) {
        vec4 weave = texture(noise_map, v_model.xy * 0.02 * pattern + v_model.z * 0.013);
        float stripe = texture(noise_map, v_model.xy * vec2(0.004, 0.0006) * pattern).x;
        albedo *= mix(0.45, 1.25, smoothstep(0.42, 0.58, stripe)) * (0.75 + 0.5 * weave.w);
    } else {
        albedo *= 0.9 + 0.2 * texture(noise_map, v_model.xy * 0.011 + v_model.z * 0.01).y;
    }
    vec3 c = albedo * v_diffuse;
    if (solid_specular > 0.02) {
        vec3 spec = light_color[0] * (v_shadow.x * highlight(n, view, 0, solid_gloss))
                  + light_color[1] * (v_shadow.y * highlight(n, view, 1, solid_gloss));
        vec3 r = reflect(-view, n);
        c += solid_specular * (spec * 1.6 + schlick(dot(n, view), 0.05) * irradiance(r));
    }
    kind_seen = as_class(part_class, 1.0);
    color = finish(c, 1.0);
}
