#version 330
#include common
uniform sampler2D skin_map;      // painted per person: albedo (sRGB), height of pores and wrinkles
uniform vec3 skin_color, hair_color, teeth_color;
uniform float skin_gloss, relief;
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;

// Bump without tangents: screen derivatives of height and position (Mikkelsen 2010).
vec3 bumped(vec3 n, float height) {
    vec3 dx = dFdx(v_position), dy = dFdy(v_position);
    vec3 r1 = cross(dy, n), r2 = cross(n, dx);
    float det = dot(dx, r1);
    vec3 gradient = sign(det) * (dFdx(height) * r1 + dFdy(height) * r2);
    return normalize(max(abs(det), 1e-6) * n - gradient);
}

void main() {
    float kind = v_material.x;
    kind_seen = as_class(kind > 1.5 && kind < 3.5 ? 0.0 : 1.0, 1.0);
#ifndef FAR
    vec3 n = normalize(v_normal);
    vec3 view = normalize(-v_position);
#endif
    if (kind > 1.5) {
        if (kind > 3.5) {        // eye socket, seen in the chinks beside the eye
            color = finish(skin_color * vec3(0.35, 0.2, 0.17) * v_diffuse, 1.0);
        } else if (kind > 2.5) { // teeth
            color = finish(teeth_color * v_diffuse * 0.8 + v_sheen, 1.0);
        } else {                 // gums, tongue, the mouth's inside
            color = finish(vec3(0.22, 0.06, 0.05) * v_diffuse * 0.6, 1.0);
        }
        return;
    }
#ifdef FAR  // pores and the highlight's edge are smaller than a pixel: all light comes from the vertices
    vec3 far_albedo = kind < 0.5 ? linear_from_srgb(texture(skin_map, v_uv).rgb) : skin_color;
    float far_gloss = v_gloss * (1.0 - v_cover);
    far_albedo = mix(far_albedo, hair_color * 0.6, v_cover);
    color = finish(far_albedo * v_diffuse + v_sheen * skin_gloss * (0.25 + 1.75 * far_gloss), 1.0);
#else
    vec3 albedo;
    vec3 bump = n;
    if (kind < 0.5) {
        vec4 map = texture(skin_map, v_uv);
        albedo = linear_from_srgb(map.rgb);
        bump = bumped(n, map.a * relief);
    } else {
        albedo = skin_color * (0.88 + 0.24 * texture(noise_map, v_model.xy * 0.013 + v_model.z * 0.007).y);
    }
    float gloss = v_gloss * (1.0 - v_cover);
    if (v_cover > 0.01) {
        float strand = texture(noise_map, v_model.xz * vec2(0.09, 0.02) + v_model.y * 0.03).w;
        albedo = mix(albedo, hair_color * (0.35 + 0.5 * strand), v_cover);
    }
    // A bumped normal sees the key light under another angle.
    float turned = max(dot(bump, light_direction[0]), 0.0) - max(dot(n, light_direction[0]), 0.0);
    vec3 diffuse = max(v_diffuse + light_color[0] * (v_shadow.x * turned), 0.0);
    float spot = v_shadow.x * highlight(bump, view, 0, mix(10.0, 55.0, gloss));
    vec3 c = albedo * diffuse + (light_color[0] * spot + v_sheen) * skin_gloss * (0.25 + 1.75 * gloss);
    color = finish(c, 1.0);
#endif
}
