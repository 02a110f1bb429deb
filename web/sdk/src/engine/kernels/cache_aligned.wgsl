@group(0) @binding(4) var<storage, read_write> cache: array<vec4<f32>>;

fn cached_four(at: u32, quad: u32) -> vec4<f32> {
  return cache[at / 4u + quad];
}

fn cache_four(at: u32, quad: u32, elements: vec4<f32>) {
  cache[at / 4u + quad] = elements;
}
