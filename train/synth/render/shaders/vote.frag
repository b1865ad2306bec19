#version 330
// The class of a pixel is that of most of its four samples: classes are numbers, no colours, so they
// are never averaged.
uniform sampler2DMS classes;
out vec4 color;
void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    float s[4];
    for (int i = 0; i < 4; ++i) s[i] = texelFetch(classes, at, i).r;
    float best = s[0], most = 0.0;
    for (int i = 0; i < 3; ++i) {
        float count = 1.0;
        for (int j = i + 1; j < 4; ++j) count += s[j] == s[i] ? 1.0 : 0.0;
        if (count > most) { most = count; best = s[i]; }
    }
    color = vec4(best, 0.0, 0.0, 1.0);
}
