// matmul_row with sums over subgroups, of any size up to LANES.
var<workgroup> partial: array<f32, THREADS * COLUMNS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_size) subgroup_size: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
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
    let sum = subgroupAdd(dots[c]);
    if (subgroup_lane == 0u) {
      partial[thread / subgroup_size * COLUMNS + c] = sum;
    }
  }
  workgroupBarrier();
  if (lane < COLUMNS) {
    let subgroups = LANES / subgroup_size;
    var sum = 0.0;
    for (var i = 0u; i < subgroups; i++) {
      sum += partial[(team * subgroups + i) * COLUMNS + lane];
    }
    store(group.y, column + lane, sum);
  }
}
