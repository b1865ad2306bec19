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
uniform vec3 iris_color, iris_color_2, sclera_color;
uniform float iris_radius, pupil_radius, limbus_width, vessels, wetness;
uniform vec4 lid_line;            // upper and lower lid height about the eye (mm, along head_up), half width
uniform float lid_shadow;
in vec3 v_position, v_normal, v_model, v_diffuse, v_sheen;
in vec2 v_uv, v_material, v_shadow;
in float v_cover, v_gloss;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 kind_seen;
void main() {
    vec3 ray = normalize(v_position);
    float plane = dot(eye_center + eye_axis * 10.4 - v_position, eye_axis) / dot(ray, eye_axis);
    vec3 offset = v_position + ray * plane - (eye_center + eye_axis * 10.4);
    float r = length(offset);
    vec3 axis_x = normalize(cross(head_up, eye_axis));
    vec3 axis_y = cross(eye_axis, axis_x);
    vec2 polar = vec2(atan(dot(offset, axis_y), dot(offset, axis_x)) / 6.2831853, r / iris_radius);
    float facing = step(dot(ray, eye_axis), 0.0);
    float in_iris = facing * (1.0 - smoothstep(iris_radius - limbus_width, iris_radius + 0.35 * limbus_width, r));
    float in_pupil = facing * (1.0 - smoothstep(pupil_radius - 0.15, pupil_radius + 0.15, r));

    // Iris: radial fibres, a darker rim, a lighter collarette; light through the cornea gathers on the
    // side away from the lamp.
    float fibre = texture(noise_map, vec2(polar.x * 6.0, polar.y * 0.25)).z;
    vec3 iris = mix(iris_color, iris_color_2, smoothstep(0.35, 0.65, fibre) * 0.7);
    iris *= mix(1.15, 0.4, smoothstep(0.72, 1.0, polar.y));
    iris *= 1.0 + 0.2 * smoothstep(0.62, 0.5, polar.y);
    iris *= 1.0 - 0.45 * clamp(dot(offset / iris_radius, light_direction[0]), -1.0, 1.0);
    iris = mix(iris, vec3(0.004), in_pupil);

    float red = texture(noise_map, v_model.xy * 0.05).z * texture(noise_map, v_model.xy * 0.021).y;
    vec3 sclera = mix(sclera_color, vec3(0.55, 0.16, 0.13), vessels * smoothstep(0.15, 0.5, red));
    // The caruncle: pink flesh in the corner beside the nose.
    float inward = dot(v_position - eye_center, nose_side);
    sclera = mix(sclera, vec3(0.45, 0.17, 0.14), 0.85 * smoothstep(lid_line.z - 3.4, lid_line.z - 1.2, inward));
    vec3 albedo = mix(sclera, iris, in_iris);

    // Lids and lashes shade the ball: most under the upper lid and in the corners.
    vec3 n = normalize(v_normal);
    float height = dot(v_position - eye_center, head_up);
    float shade_lid = smoothstep(-0.3, 3.2, lid_line.x - height) * smoothstep(-0.6, 1.4, height - lid_line.y);
    float corner = smoothstep(lid_line.z, lid_line.z - 4.0, abs(dot(v_position - eye_center, axis_x)));
    float occlusion = mix(1.0, (0.25 + 0.75 * shade_lid) * (0.55 + 0.45 * corner), lid_shadow);
    // Brow, nose and lids hide half of the sky from an eye (the ball's own openness is not baked).
    vec3 c = albedo * v_diffuse * occlusion * mix(0.55, 0.85, v_shadow.x);

    // Wet highlights: off the cornea (radius 7.8 mm about a point 5.7 mm along the axis), else the ball.
    vec3 cornea = v_position - (eye_center + eye_axis * 5.7);
    float on_cornea = facing * (1.0 - smoothstep(iris_radius, iris_radius + 1.0, r));
    vec3 wet = normalize(mix(n, normalize(cornea), on_cornea));
    vec3 mirrored = reflect(ray, wet);
    float fresnel = schlick(dot(-ray, wet), 0.025);
    vec3 room = environment(mirrored);
    for (int i = 0; i < 3; ++i) {
        float size = max(light_size[i], 0.045);
        float edge = cos(size);
        float seen = smoothstep(edge - 0.35 * size * size - 0.002, edge, dot(mirrored, light_direction[i]));
        float open = i == 0 ? v_shadow.x : i == 1 ? v_shadow.y : 1.0;
        // Radiance of a disc light: irradiance / (pi sin^2 size); what film and tears spread is kept finite.
        room += light_color[i] / (size * size) * seen * mix(0.3, 1.0, open) * step(0.05, shade_lid);
    }
    c += room * fresnel * wetness * mix(0.15, 1.0, occlusion);
    float part = facing * (step(r, iris_radius) + step(r, pupil_radius));
    kind_seen = as_class(2.0 + part, 1.0);
    color = finish(c, 1.0);
}
