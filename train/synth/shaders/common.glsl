// Light, tone and shadow shared by every fragment shader.  All positions are in the camera frame,
// millimetres (x right, y down, z forward).
uniform vec3 light_direction[3];  // unit, from the surface towards the light
uniform vec3 light_color[3];
uniform vec3 ambient_sky, ambient_ground, ambient_left, ambient_right;
uniform float exposure;
uniform float near_infrared;      // 0 colour, 1 grey as a near-infrared camera sees it
uniform mat4 shadow_from_camera;
uniform sampler2D shadow_map;
uniform float shadow_softness;
uniform sampler2D noise_map;      // four channels of tileable noise, octaves from coarse to fine

vec3 ambient(vec3 n) {
    vec3 vertical = mix(ambient_ground, ambient_sky, 0.5 - 0.5 * n.y);
    vec3 side = mix(ambient_left, ambient_right, 0.5 + 0.5 * n.x);
    return 0.6 * vertical + 0.4 * side;
}

float lit(vec3 position, vec3 normal) {
    vec4 s = shadow_from_camera * vec4(position + normal * 1.5, 1.0);
    vec2 uv = s.xy * 0.5 + 0.5;
    float depth = s.z * 0.5 + 0.5 - 0.004;
    float sum = 0.0;
    for (int i = 0; i < 4; ++i) {
        vec2 offset = (vec2(i & 1, i >> 1) - 0.5) * shadow_softness;
        sum += depth <= texture(shadow_map, uv + offset).r ? 1.0 : 0.0;
    }
    return sum * 0.25;
}

vec3 tone(vec3 linear) {
    vec3 c = max(linear * exposure, 0.0);
    c = mix(c, vec3(dot(c, vec3(0.5, 0.3, 0.2))), near_infrared);
    c = c / (1.0 + 0.25 * c);  // a soft shoulder, as cameras have
    return pow(min(c * 1.25, 1.0), vec3(1.0 / 2.2));
}

float schlick(float cosine, float f0) {
    return f0 + (1.0 - f0) * pow(1.0 - clamp(cosine, 0.0, 1.0), 5.0);
}

vec3 shade(vec3 position, vec3 n, vec3 albedo, vec3 wrap, float gloss, float specular) {
    vec3 view = normalize(-position);
    vec3 color = albedo * ambient(n);
    float shadow = lit(position, n);
    for (int i = 0; i < 3; ++i) {
        float s = i == 0 ? shadow : 1.0;
        float cosine = dot(n, light_direction[i]);
        // Wrapped diffuse: light bleeds past the terminator, red furthest (subsurface stand-in).
        vec3 diffuse = clamp((vec3(cosine) + wrap) / ((1.0 + wrap) * (1.0 + wrap)), 0.0, 1.0);
        vec3 h = normalize(light_direction[i] + view);
        float lobe = pow(max(dot(n, h), 0.0), gloss) * (gloss + 8.0) / 25.0;
        float highlight = specular * lobe * schlick(dot(view, h), 0.04) * max(cosine, 0.0) * 6.0;
        color += light_color[i] * mix(0.25 * s, s, step(0.0, cosine)) * (albedo * diffuse + highlight);
    }
    return color;
}
