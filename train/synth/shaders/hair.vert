#version 330
// Shells: the scalp drawn again and again a little further out; the fragment shader keeps strands.
uniform mat4 camera_from_model;
uniform mat4 clip_from_camera;
uniform float shells, hair_lift, hair_clump;
uniform sampler2D noise_map;
in vec3 position;
in vec3 normal;
in vec3 hair;      // x: density 0..1, y: length in mm, z: unused
in vec2 hair_uv;   // azimuth and elevation about the head, radians
out vec3 v_position, v_normal;
out vec2 v_uv;
out float v_density, v_layer;
void main() {
    float layer = (float(gl_InstanceID) + 1.0) / shells;
    float wave = textureLod(noise_map, hair_uv * vec2(0.35, 0.2), 0.0).x;
    float lump = mix(1.0, 0.4 + 1.2 * wave, hair_clump);
    vec3 out_position = position + normal * hair.y * layer * lump + vec3(0.0, hair_lift * layer * layer * hair.y, 0.0);
    vec4 p = camera_from_model * vec4(out_position, 1.0);
    v_position = p.xyz;
    v_normal = mat3(camera_from_model) * normal;
    v_uv = hair_uv;
    v_density = hair.x;
    v_layer = layer;
    gl_Position = clip_from_camera * p;
}
