#version 330
// Skin, cloth and solid things, lit per vertex: FaceKit's vertices are 2 mm apart on the face, so
// soft shadows and skylight vary slower than they do.  Inputs are in the head frame (mm).
#include common
uniform mat4 camera_from_model;
uniform mat4 clip_from_camera;
uniform mat4 shadow_from_camera[2];
uniform sampler2D shadow_map_0;
uniform sampler2D shadow_map_1;
uniform vec3 wrap;       // how far light bleeds past the terminator, per channel
uniform float shadow_radius[2];  // of the penumbra per mm of distance to what casts it, in map units
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec2 material;   // x: which surface, y: depends on it
in float openness;  // share of the sky that is seen (ambient occlusion)
in float cover;     // share of the scalp's colour that is hair
in float gloss;     // 0 matt to 1 wet
out vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
out vec2 v_uv, v_material, v_shadow;
out float v_cover, v_gloss;

const vec2 DISC[8] = vec2[](vec2(0.35, 0.1), vec2(-0.3, 0.35), vec2(-0.15, -0.45), vec2(0.5, -0.35),
                            vec2(0.2, 0.85), vec2(-0.85, 0.1), vec2(-0.5, -0.75), vec2(0.95, 0.25));

float lit(sampler2D map, mat4 from_camera, vec3 p, float radius) {
    vec3 s = (from_camera * vec4(p, 1.0)).xyz * 0.5 + 0.5;
    float depth = s.z - 0.004;
    float gap = 0.0, blockers = 0.0;
    for (int i = 0; i < 4; ++i) {  // how far away is what hides the light: sets the penumbra
        float d = textureLod(map, s.xy + DISC[i + 3] * radius * 0.12, 0.0).r;
        if (d < depth) { gap += depth - d; blockers += 1.0; }
    }
    float wide = blockers > 0.0 ? clamp(gap / blockers * radius, 0.004, 0.08) : 0.005;
    float sum = 0.0;
    for (int i = 0; i < 8; ++i) sum += depth <= textureLod(map, s.xy + DISC[i] * wide, 0.0).r ? 1.0 : 0.0;
    return sum * 0.125;
}

void main() {
    vec4 p = camera_from_model * vec4(position, 1.0);
    vec3 n = mat3(camera_from_model) * normal;
    v_position = p.xyz;
    v_normal = n;
    v_model = position;
    v_uv = uv;
    v_material = material;
    v_cover = cover;
    vec3 light = irradiance(n) * mix(openness, 1.0, 0.12);
    v_shadow = vec2(1.0);
    for (int i = 0; i < 3; ++i) {
        float cosine = dot(n, light_direction[i]);
        vec3 diffuse = clamp((vec3(cosine) + wrap) / ((1.0 + wrap) * (1.0 + wrap)), 0.0, 1.0);
        if (diffuse.r <= 0.0) { if (i == 0) v_shadow.x = 0.0; if (i == 1) v_shadow.y = 0.0; continue; }
        float open = openness;
        if (i == 0) { v_shadow.x = lit(shadow_map_0, shadow_from_camera[0], p.xyz + n * 1.5, shadow_radius[0]); open = v_shadow.x; }
        if (i == 1) { v_shadow.y = lit(shadow_map_1, shadow_from_camera[1], p.xyz + n * 1.5, shadow_radius[1]); open = v_shadow.y; }
        // Inside skin, red travels furthest: the shadow's edge glows red.
        vec3 soft = wrap.r > wrap.b ? vec3(sqrt(open + 1e-4) * 0.35 + open * 0.65, open, open) : vec3(open);
        light += light_color[i] * diffuse * soft;
    }
    v_diffuse = light;
    v_gloss = gloss;
    // What varies slowly of the mirrored light: the second light's highlight and the bright rim.
    vec3 view = normalize(-p.xyz);
    v_sheen = light_color[1] * v_shadow.y * highlight(n, view, 1, mix(10.0, 30.0, gloss))
#ifdef FAR
            + light_color[0] * v_shadow.x * highlight(n, view, 0, mix(10.0, 55.0, gloss))
#endif
            + min(schlick(dot(n, view), 0.03), 0.2) * openness * irradiance(reflect(-view, n));
    gl_Position = clip_from_camera * p;
}
