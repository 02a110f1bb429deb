var<workgroup> parts: array<f32, THREADS>;
var<workgroup> sums: array<f32, THREADS / 16u>;

// The sum over a workgroup's threads, in two steps: a tree would take a barrier for each level.
fn total(thread: u32, value: f32) -> f32 {
  parts[thread] = value;
  workgroupBarrier();
  if (thread < THREADS / 16u) {
    var part = 0.0;
    for (var i = 0u; i < 16u; i++) {
      part += parts[i * (THREADS / 16u) + thread];
    }
    sums[thread] = part;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < THREADS / 16u; i++) {
    sum += sums[i];
  }
  return sum;
}
