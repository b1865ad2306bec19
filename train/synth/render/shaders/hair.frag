#version 330
// Hair by two Gaussian highlights along the strands (after Marschner et al., 2003): R off the
// cuticle, white and shifted to the root; TRT through the fibre, coloured and shifted to the tip.
// Coverage chooses among the four pixels that are drawn for one, so nothing has to be sorted.
#include common
uniform vec3 hair_color;
uniform float hair_gloss;  // 0 dull .. 1 sleek
uniform float curly;       // which strands of the texture: 0 straight, 1 curly
in vec3 v_diffuse, v_rim;
in vec2 v_lit, v_across, v_uv;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    vec4 strand = texture(strand_map, vec2(v_uv.x, 0.01 + 0.98 * v_uv.y));
    float cover = 1.35 * mix(strand.r, strand.g, curly);
    ivec2 at = ivec2(gl_FragCoord.xy) & 1;
    if (cover < 0.125 + 0.25 * float(2 * (at.x ^ at.y) + at.y)) discard;
    kind_seen = as_class(0.0, 1.0);
    vec3 albedo = hair_color * (0.65 + 0.7 * strand.b);
    float turn = 0.2 * (strand.a + strand.b - 1.0);
    float sharp = mix(9.0, 30.0, hair_gloss);
    // R of the two strongest lights, then TRT of both.
    vec4 off = v_across.xyxy + vec4(turn + 0.07, turn + 0.07, turn - 0.14, turn - 0.14);
    vec4 lobe = v_lit.xyxy * exp2(off * off * (sharp * vec4(-4.0, -4.0, -1.6, -1.6)));
    vec3 white = lobe.x * light_color[0] + lobe.y * light_color[1];
    vec3 tinted = lobe.z * light_color[0] + lobe.w * light_color[1];
    vec3 sum = albedo * (v_diffuse + 0.9 * strand.b * tinted) + (0.05 + 0.07 * hair_gloss) * white;
    color = finish(sum + v_rim, 1.0);
}
