#version 330
// The eye is traced, not meshed: FaceKit's eyeballs are a quarter larger than life, so an iris painted
// on them would travel too far for a given rotation.  The mesh (a still sphere) only says where the eye
// is visible; each view ray is met with the iris disc of a life-size eye where the cornea's refraction
// makes it appear (rotation centre to corneal apex 13.5 mm, to the entrance pupil 10.4 mm).
#include common
uniform vec3 eye_center;          // rotation centre, camera frame, mm
uniform vec3 eye_axis;            // unit optical axis, camera frame
uniform vec3 head_up;             // camera frame
uniform vec3 nose_side;           // unit, towards the nose, camera frame
uniform vec3 iris_color, iris_color_2, sclera_color, skin_color;
uniform float iris_radius, pupil_radius, limbus, redness, wetness, caruncle;
uniform vec4 iris_look;           // ring's share of light, its width (mm), collarette, fibres
uniform vec2 pattern;
uniform vec4 lid_line;            // upper and lower lid height about the eye (mm, along head_up), half width
uniform float lid_shadow, pixel_mm, shut;
uniform vec3 light_shape[3];      // half height over half width, bars across, 0 round to 1 square
uniform mat4 shadow_from_camera[2];
uniform sampler2D shadow_map_0;
uniform sampler2D shadow_map_1;
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;

float open_to(sampler2D map, mat4 from_camera, vec3 p) {
    vec3 s = (from_camera * vec4(p, 1.0)).xyz * 0.5 + 0.5;
    return s.z - 0.004 <= textureLod(map, s.xy, 0.0).r ? 1.0 : 0.0;
}

// A light is as wide as its shadows are soft, which stands for several lamps or a bright wall around
// one: what an eye mirrors of it is smaller and brighter, but no smaller than a pixel of the picture
// (on a cornea of 7.8 mm), which would lose most of it.
float mirrored_size(int i) { return clamp(0.42 * light_size[i], max(0.03, 0.26 * pixel_mm), 0.25); }

// The mirror image of a light: a lamp's disc, or a window with bars.
float image_of(int i, vec3 d) {
    vec3 to = light_direction[i], shape = light_shape[i];
    float size = mirrored_size(i), soft = 0.012 + 0.12 * size;
    if (dot(d, to) < 0.2) return 0.0;
    vec3 right = normalize(cross(vec3(0.0, 1.0, 0.001), to));
    vec2 at = vec2(dot(d, right), dot(d, cross(to, right)) / shape.x) / dot(d, to);
    float disc = smoothstep(size + soft, size - soft, length(at));
    vec2 far = smoothstep(vec2(0.9 * size + soft), vec2(0.9 * size - soft), abs(at));
    float bar = shape.y * (1.0 - smoothstep(0.02 * size, 0.02 * size + 1.5 * soft, abs(at.x)));
    return mix(disc, far.x * far.y * (1.0 - bar), shape.z) / shape.x;
}

void main() {
    if (shut > 0.5) {  // what shows between lids that meet is their edges
        kind_seen = as_class(1.0, 1.0);
        color = finish(skin_color * vec3(0.4, 0.25, 0.22) * v_diffuse, 1.0);
        return;
    }
    vec3 ray = normalize(v_position);
    float plane = dot(eye_center + eye_axis * 10.4 - v_position, eye_axis) / dot(ray, eye_axis);
    vec3 offset = v_position + ray * plane - (eye_center + eye_axis * 10.4);
    float r = length(offset);
    vec3 axis_x = normalize(cross(head_up, eye_axis));
    vec3 axis_y = cross(eye_axis, axis_x);
    float turn = atan(dot(offset, axis_y), dot(offset, axis_x)) / 6.2831853;
    float inner = r / iris_radius;
    float facing = step(dot(ray, eye_axis), 0.0);
    float rim = max(0.5 * limbus, 0.6 * pixel_mm), edge = max(0.12, 0.6 * pixel_mm);  // no stairs
    float in_iris = facing * (1.0 - smoothstep(iris_radius - rim, iris_radius + rim, r));
    float in_pupil = facing * (1.0 - smoothstep(pupil_radius - edge, pupil_radius + edge, r));

    // Iris: radial fibres in two sizes, a collarette around the pupil, a dark ring at the rim; light
    // through the cornea gathers on the side away from the lamp.
    float lod = log2(max(1.0, 256.0 * pixel_mm / (6.2831853 * max(r, 1.0))));
    float fine = textureLod(noise_map, vec2(turn, 0.10 * inner) + pattern, lod).z;
    float coarse = textureLod(noise_map, vec2(turn, 0.08 * inner) + pattern.yx, lod).y;
    float fibre = 0.5 + iris_look.w * (fine + 0.8 * coarse - 0.9);
    vec3 iris = mix(iris_color, iris_color_2, clamp(1.6 * fibre - 0.3, 0.0, 1.0)) * (0.7 + 0.6 * fibre);
    float zone = smoothstep(0.68, 0.5, inner + 0.12 * (coarse - 0.5));
    iris *= 1.0 + iris_look.z * zone * vec3(1.0, 0.85, 0.6);
    iris *= mix(1.0, iris_look.x, smoothstep(iris_radius - iris_look.y - 0.4, iris_radius - 0.15, r));
    iris *= 1.0 - 0.28 * clamp(dot(offset / iris_radius, light_direction[0]), -1.0, 1.0);
    iris = mix(iris, vec3(0.006, 0.005, 0.004), in_pupil);

    // The white: vessels, more of them towards the corners, and pink flesh beside the nose.
    float across = abs(dot(v_position - eye_center, axis_x));
    float red = texture(noise_map, v_model.xy * 0.05).z * texture(noise_map, v_model.xy * 0.021).y;
    float outer = smoothstep(5.5, 12.0, across);
    vec3 sclera = mix(sclera_color, vec3(0.50, 0.17, 0.13), redness * (0.10 + 0.35 * outer + 0.5 * outer * smoothstep(0.15, 0.5, red)));
    sclera *= mix(vec3(1.0), vec3(0.90, 0.82, 0.76), smoothstep(8.0, 13.0, across));
    float inward = dot(v_position - eye_center, nose_side);
    float height = dot(v_position - eye_center, head_up);
    sclera *= mix(vec3(0.92, 0.82, 0.78), vec3(1.0), smoothstep(0.0, 2.2, height - lid_line.y));
    float flesh = smoothstep(lid_line.z - caruncle - 1.6, lid_line.z - caruncle + 0.4, inward);
    sclera = mix(sclera, vec3(0.46, 0.20, 0.17), 0.85 * flesh);
    vec3 albedo = mix(sclera, iris, in_iris);

    // Lids and lashes shade the ball: most under the upper lid and in the corners.
    vec3 n = normalize(v_normal);
    float below = lid_line.x - height;
    float shade_lid = smoothstep(-0.6, 3.4, below) * smoothstep(-0.9, 1.2, height - lid_line.y);
    float corner = smoothstep(lid_line.z, lid_line.z - 4.0, across);
    float occlusion = mix(1.0, (0.3 + 0.7 * shade_lid) * (0.6 + 0.4 * corner), lid_shadow);
    // Brow, nose and lids hide part of the sky from an eye (the ball's own openness is not baked).
    vec3 c = albedo * v_diffuse * occlusion * mix(0.55, 0.85, v_shadow.x);

    // Wet highlights: off the cornea (radius 7.8 mm about a point 5.7 mm along the axis), else the ball.
    vec3 from = v_position - (eye_center + eye_axis * 5.7);
    float along = dot(from, ray);
    float under = along * along - dot(from, from) + 60.84;
    vec3 cornea = (from - ray * (along + sqrt(max(under, 0.0)))) / 7.8;
    float on_cornea = facing * (1.0 - smoothstep(iris_radius, iris_radius + 1.0, r)) * step(0.0, under);
    vec3 wet = normalize(mix(n, cornea, on_cornea));
    vec3 mirrored = reflect(ray, wet);
    // Brow and lashes stand in the mirrored picture above, the cheek below.
    float up = dot(mirrored, head_up);
    float free = smoothstep(0.96, 0.75, up) * smoothstep(-0.95, -0.7, up) * smoothstep(-0.2, 0.7, below);
    vec3 room = environment(mirrored) * mix(0.2, 0.6, occlusion);
    vec3 before = v_position + 8.0 * eye_axis;
    vec3 open = vec3(open_to(shadow_map_0, shadow_from_camera[0], before), open_to(shadow_map_1, shadow_from_camera[1], before), 1.0);
    for (int i = 0; i < 3; ++i) {
        float size = mirrored_size(i);
        // Radiance of a disc light: irradiance / (pi sin^2 size); what film and tears spread is kept finite.
        room += light_color[i] / (size * size) * image_of(i, mirrored) * open[i];
    }
    c += room * schlick(dot(-ray, wet), 0.025) * wetness * free * mix(0.5, 1.0, on_cornea);
    float part = facing * (step(r, iris_radius) + step(r, pupil_radius));
    kind_seen = as_class(2.0 + part, 1.0);
    color = finish(c, 1.0);
}
