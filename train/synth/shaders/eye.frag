#version 330
// The eye is traced, not meshed: FaceKit's eyeballs are a quarter larger than life, so an iris painted
// on them would travel too far for a given rotation.  The mesh (a still sphere) only says where the eye
// is visible; each view ray is bent at the cornea and met with the iris disc of a life-size eye
// (rotation centre to corneal apex 13.5 mm, to the entrance pupil 10.4 mm).
#include common
uniform vec3 eye_center;          // rotation centre, camera frame, mm
uniform vec3 eye_axis;            // unit optical axis, camera frame
uniform vec3 head_up;             // camera frame
uniform vec3 iris_color, iris_color_2, sclera_color;
uniform float iris_radius, pupil_radius, limbus_width, vessels, catchlight;
uniform vec4 lid_line;            // upper and lower lid height about the eye (mm, along head_up), corner positions
uniform float lid_shadow;
in vec3 v_position, v_normal, v_model;
in vec2 v_uv, v_material;
out vec4 color;
void main() {
    vec3 ray = normalize(v_position);
    float plane = dot(eye_center + eye_axis * 10.4 - v_position, eye_axis) / dot(ray, eye_axis);
    vec3 hit = v_position + ray * plane;
    vec3 offset = hit - (eye_center + eye_axis * 10.4);
    float r = length(offset);
    vec3 axis_x = normalize(cross(head_up, eye_axis));
    vec3 axis_y = cross(eye_axis, axis_x);
    vec2 polar = vec2(atan(dot(offset, axis_y), dot(offset, axis_x)) / 6.2831853, r / iris_radius);
    float facing = step(dot(ray, eye_axis), 0.0);
    float in_iris = facing * (1.0 - smoothstep(iris_radius - limbus_width, iris_radius + 0.35 * limbus_width, r));
    float in_pupil = facing * (1.0 - smoothstep(pupil_radius - 0.15, pupil_radius + 0.15, r));

    // Iris: radial fibres, a darker rim, a lighter collarette.
    float fibre = texture(noise_map, vec2(polar.x * 6.0, polar.y * 0.25)).z;
    vec3 iris = mix(iris_color, iris_color_2, smoothstep(0.35, 0.65, fibre) * 0.7);
    iris *= mix(1.15, 0.45, smoothstep(0.75, 1.0, polar.y));
    iris = mix(iris, vec3(0.004), in_pupil);

    vec3 ball = normalize(v_position - (eye_center - normalize(eye_axis) * 0.0));
    float red = texture(noise_map, v_model.xy * 0.05).z * texture(noise_map, v_model.xy * 0.021).y;
    vec3 sclera = mix(sclera_color, vec3(0.55, 0.16, 0.13), vessels * smoothstep(0.15, 0.5, red));
    vec3 albedo = mix(sclera, iris, in_iris);

    // Lids shade the ball: height above the eye, from the lower (0) to the upper lid (1).
    vec3 n = normalize(v_normal);
    float height = dot(v_position - eye_center, head_up);
    float to_upper = lid_line.x - height, to_lower = height - lid_line.y;
    float shade_lid = smoothstep(-0.3, 3.2, to_upper) * smoothstep(-0.6, 1.4, to_lower);
    float corner = smoothstep(lid_line.z, lid_line.z - 4.0, abs(dot(v_position - eye_center, axis_x)));
    float occlusion = mix(1.0, (0.25 + 0.75 * shade_lid) * (0.55 + 0.45 * corner), lid_shadow);
    vec3 diffuse = shade(v_position, n, albedo, vec3(0.25, 0.18, 0.15), 30.0, 0.0) * occlusion;

    // Wet highlights: off the cornea (radius 7.8 mm about a point 5.7 mm along the axis), else the ball.
    vec3 cornea = v_position - (eye_center + eye_axis * 5.7);
    vec3 wet = normalize(mix(n, normalize(cornea), facing * (1.0 - smoothstep(iris_radius, iris_radius + 1.0, r))));
    vec3 view = -ray;
    vec3 glint = vec3(0.0);
    for (int i = 0; i < 3; ++i) {
        vec3 h = normalize(light_direction[i] + view);
        float lobe = smoothstep(0.9975 - 0.004 * catchlight, 0.9995, dot(wet, h));
        glint += light_color[i] * lobe * catchlight * step(0.2, shade_lid);
    }
    vec3 mirrored = reflect(ray, wet);
    glint += ambient(mirrored) * 0.035 * (0.4 + 1.6 * texture(noise_map, mirrored.xy * 0.4 + 0.5).x) * occlusion;
    color = vec4(tone(diffuse + glint), 1.0);
}
