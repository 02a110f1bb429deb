// The sum over slices of a matmul's inner dimension, four reads in flight at a time.
fn sum_of_slices(first: u32, stride: u32) -> vec4<f32> {
  var sum = vec4<f32>();
  var at = first;
  var slice = 0u;
  for (; slice + 4u <= params.slices; slice += 4u) {
    let a = partials[at];
    let b = partials[at + stride];
    let c = partials[at + 2u * stride];
    let d = partials[at + 3u * stride];
    sum += (a + b) + (c + d);
    at += 4u * stride;
  }
  for (; slice < params.slices; slice++) {
    sum += partials[at];
    at += stride;
  }
  return sum;
}
