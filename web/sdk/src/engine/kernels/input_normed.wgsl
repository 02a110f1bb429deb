// The LayerNorm of the only row of `input`. Each workgroup computes it anew: for one row that costs less than a dispatch of its own.
@group(0) @binding(NORM_BINDING) var<storage, read> norm_weight: array<vec4<f32>>;
@group(0) @binding(NORM_BINDING + 1u) var<storage, read> norm_bias: array<vec4<f32>>;

var<private> mean: f32;
var<private> factor: f32;

// What pads the row is zero, and no part of its statistics.
fn within(quad: u32, value: vec4<f32>) -> vec4<f32> {
  let column = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
  return select(vec4<f32>(), value, column < vec4<u32>(params.inner));
}

// Mean first, then the variance around it: the one-pass form cancels where the mean is large.
fn prepare(thread: u32) {
  var sum = 0.0;
  for (var quad = thread; quad < params.input_stride; quad += THREADS) {
    sum += dot(input[quad], vec4<f32>(1.0));
  }
  mean = total(thread, sum) / f32(params.inner);
  var square = 0.0;
  for (var quad = thread; quad < params.input_stride; quad += THREADS) {
    let distance = within(quad, input[quad] - mean);
    square += dot(distance, distance);
  }
  factor = 1.0 / sqrt(total(thread, square) / f32(params.inner) + params.epsilon);
}

fn normed(quad: u32) -> vec4<f32> {
  return within(quad, (input[quad] - mean) * factor * norm_weight[quad] + norm_bias[quad]);
}

fn eight_of(row: u32, step: u32) -> Eight {
  return Eight(normed(2u * step), normed(2u * step + 1u));
}
