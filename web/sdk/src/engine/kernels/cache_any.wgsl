@group(0) @binding(4) var<storage, read_write> cache: array<f32>;

fn cached_four(at: u32, quad: u32) -> vec4<f32> {
  let first = at + quad * 4u;
  let rest = params.head_size - quad * 4u;
  return vec4<f32>(
    cache[first],
    select(0.0, cache[first + 1u], rest > 1u),
    select(0.0, cache[first + 2u], rest > 2u),
    select(0.0, cache[first + 3u], rest > 3u),
  );
}

fn cache_four(at: u32, quad: u32, elements: vec4<f32>) {
  let first = quad * 4u;
  for (var e = 0u; e < min(4u, params.head_size - first); e++) {
    cache[at + first + e] = elements[e];
  }
}
