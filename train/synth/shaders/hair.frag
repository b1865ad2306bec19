#version 330
// Hair by two Gaussian highlights along the strands (after Marschner et al., 2003): R off the
// cuticle, white and shifted to the root; TRT through the fibre, coloured and shifted to the tip.
// Coverage goes out as alpha, for alpha-to-coverage.
#include common
uniform vec3 hair_color;
uniform float hair_gloss;  // 0 dull .. 1 sleek
uniform float curly;       // which strands of the texture: 0 straight, 1 curly
in vec3 v_diffuse, v_lit, v_across, v_rim;
in vec2 v_uv;
out vec4 color;
void main() {
    vec4 strand = texture(strand_map, vec2(v_uv.x, 0.01 + 0.98 * v_uv.y));
    float cover = 1.35 * mix(strand.r, strand.g, curly);
    if (cover < 0.1) discard;
    vec3 albedo = hair_color * (0.65 + 0.7 * strand.b);
    float turn = 0.2 * (strand.a + strand.b - 1.0);
    float sharp = mix(9.0, 30.0, hair_gloss);
    vec3 a = v_across + (0.07 + turn), b = v_across + (turn - 0.14);
    vec3 r = (0.05 + 0.07 * hair_gloss) * v_lit * exp2(-4.0 * sharp * a * a);
    vec3 trt = (0.9 * strand.b) * v_lit * exp2(-1.6 * sharp * b * b);
    vec3 white = r.x * light_color[0] + r.y * light_color[1] + r.z * light_color[2];
    vec3 tinted = trt.x * light_color[0] + trt.y * light_color[1] + trt.z * light_color[2];
    color = finish(albedo * (v_diffuse + tinted) + white + v_rim, min(cover, 1.0));
}
