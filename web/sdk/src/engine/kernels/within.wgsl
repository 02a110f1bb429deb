// What pads a row of so many columns is zero.
fn within(quad: u32, columns: u32, value: vec4<f32>) -> vec4<f32> {
  let column = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
  return select(vec4<f32>(), value, column < vec4<u32>(columns));
}
