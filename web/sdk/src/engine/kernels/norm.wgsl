// The LayerNorm of a row, whose elements are shared out among a workgroup: thread t has the quads t, t + THREADS and so on. Whoever
// includes this has `own`, which gives the `i`th of them.
var<private> mean: f32;
var<private> factor: f32;

// Mean first, then the variance around it: the one-pass form cancels where the mean is large. `sum` is that of the thread's own.
fn find_statistics(thread: u32, sum: f32, columns: u32, quads: u32, epsilon: f32) {
  mean = total(thread, sum) / f32(columns);
  var square = 0.0;
  for (var i = 0u; thread + i * THREADS < quads; i++) {
    let quad = thread + i * THREADS;
    let distance = within(quad, columns, own(i, quad) - mean);
    square += dot(distance, distance);
  }
  factor = 1.0 / sqrt(total(thread, square) / f32(columns) + epsilon);
}

fn normalised(quad: u32, columns: u32, value: vec4<f32>, weight: vec4<f32>, bias: vec4<f32>) -> vec4<f32> {
  return within(quad, columns, (value - mean) * factor * weight + bias);
}
