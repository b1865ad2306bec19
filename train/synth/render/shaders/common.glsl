// Light shared by every shader.  Positions and normals are in the camera frame, millimetres (x right,
// y down, z forward).  Colours are linear; the sensor's tone curve comes after the picture.
uniform vec3 irradiance_sh[9];    // order: see train.synth.lighting
uniform vec3 light_direction[3];  // unit, from the surface towards the light
uniform vec3 light_color[3];      // irradiance / pi
uniform vec3 light_size;          // angular radius of each, radians
uniform float near_infrared;      // 0 colour, 1 grey as a near-infrared camera sees it
uniform sampler2D noise_map;      // four channels of tileable noise, octaves from coarse to fine
uniform sampler2D environment_map;
uniform sampler2D strand_map;     // see train.synth.hair

vec3 irradiance(vec3 n) {
    vec3 c = 0.282095 * irradiance_sh[0]
        + 0.488603 * (n.y * irradiance_sh[1] + n.z * irradiance_sh[2] + n.x * irradiance_sh[3])
        + 1.092548 * (n.x * n.y * irradiance_sh[4] + n.y * n.z * irradiance_sh[5] + n.x * n.z * irradiance_sh[7])
        + 0.315392 * (3.0 * n.z * n.z - 1.0) * irradiance_sh[6]
        + 0.546274 * (n.x * n.x - n.y * n.y) * irradiance_sh[8];
    return max(c, 0.0);
}

vec3 environment(vec3 d) {
    return texture(environment_map, vec2(atan(d.x, d.z) / 6.2831853 + 0.5, acos(clamp(-d.y, -1.0, 1.0)) / 3.1415927)).rgb;
}

float schlick(float cosine, float f0) {
    float m = 1.0 - clamp(cosine, 0.0, 1.0);
    float m2 = m * m;
    return f0 + (1.0 - f0) * m2 * m2 * m;
}

vec3 linear_from_srgb(vec3 c) {  // close to a power of 2.2, in which skin is painted, and cheaper
    return c * c * (0.8 + 0.2 * c);
}

// What the second picture says of a pixel, as a byte; alpha 0 leaves what is behind.
vec4 as_class(float number, float alpha) { return vec4(number / 255.0, 0.0, 0.0, alpha); }

vec4 finish(vec3 linear_rgb, float alpha) {
    vec3 c = clamp(linear_rgb, 0.0, 3.0);  // brighter sparkles would only flicker
    return vec4(mix(c, vec3(dot(c, vec3(0.75, 0.2, 0.05))), near_infrared), alpha);
}

// Highlight of an area light on a rough surface: Blinn's lobe, widened by the light's size, its power
// by Schlick's rational stand-in (Graphics Gems IV, 1994), several times cheaper than pow().
float highlight(vec3 n, vec3 view, int i, float gloss) {
    vec3 h = normalize(light_direction[i] + view);
    float size = light_size[i];
    float g = gloss / (1.0 + gloss * size * size * 0.5);
    float x = max(dot(n, h), 0.0);
    return x / (g - (g - 1.0) * x) * (g + 8.0) * 0.125 * min(schlick(dot(view, h), 0.04), 0.3) * step(0.0, dot(n, light_direction[i]));
}
