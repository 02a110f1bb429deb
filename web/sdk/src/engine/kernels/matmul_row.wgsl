// A few rows: LANES threads walk the inner dimension for COLUMNS outputs, and a workgroup has THREADS / LANES such teams. Neighbouring lanes
// read neighbouring weights, and all of a team's reads are in flight together: this kernel is bound by memory alone. Workgroups are
// counted along x and z: a large vocabulary has more of them than one dimension of a grid may.
var<workgroup> partial: array<f32, THREADS * COLUMNS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let team = thread / LANES;
  let column = ((group.z * groups.x + group.x) * (THREADS / LANES) + team) * COLUMNS;
  let last = params.columns - 1u;
  prepare(thread);
  var dots: array<f32, COLUMNS>;
  for (var step = lane; step < params.steps; step += LANES) {
    let x = eight_of(group.y, step);
    for (var c = 0u; c < COLUMNS; c++) {
      let w = weights(min(column + c, last), step);
      dots[c] += dot(x.low, w.low) + dot(x.high, w.high);
    }
  }
  for (var c = 0u; c < COLUMNS; c++) {
    partial[c * THREADS + thread] = dots[c];
  }
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) {
      for (var c = 0u; c < COLUMNS; c++) {
        partial[c * THREADS + thread] += partial[c * THREADS + thread + width];
      }
    }
  }
  workgroupBarrier();
  if (lane < COLUMNS) {
    store(group.y, column + lane, partial[lane * THREADS + team * LANES]);
  }
}
