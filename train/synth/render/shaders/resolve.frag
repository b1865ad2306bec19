#version 330
// One pixel of the picture from the four that are drawn for it.
uniform sampler2D light_map, class_map, depth_map;
layout(location = 0) out vec4 light;
layout(location = 1) out vec4 kind;
layout(location = 2) out vec4 depth;
void main() {
    ivec2 at = 2 * ivec2(gl_FragCoord.xy);
    float s[4], d[4];
    for (int i = 0; i < 4; ++i) {
        ivec2 place = at + ivec2(i & 1, i >> 1);
        s[i] = texelFetch(class_map, place, 0).r;
        d[i] = texelFetch(depth_map, place, 0).r;
    }
    // Smooth sampling at their corner is their mean.
    light = textureLod(light_map, vec2(at + 1) / vec2(textureSize(light_map, 0)), 0.0);
    // The class is that of most of the four: classes are numbers, no colours, and never averaged.
    float best = s[0], most = 0.0;
    for (int i = 0; i < 3; ++i) {
        float count = 1.0;
        for (int j = i + 1; j < 4; ++j) count += s[j] == s[i] ? 1.0 : 0.0;
        if (count > most) { most = count; best = s[i]; }
    }
    kind = vec4(best, 0.0, 0.0, 1.0);
    // The middle of the four depths: one hair that crosses a pixel hides nothing.
    float near = min(min(d[0], d[1]), min(d[2], d[3])), far = max(max(d[0], d[1]), max(d[2], d[3]));
    depth = vec4(0.5 * (d[0] + d[1] + d[2] + d[3] - near - far), 0.0, 0.0, 1.0);
}
