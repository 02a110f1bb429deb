// One vector a sequence from its rows: their mean, the last or the first; divided by its L2 norm where asked.
struct Params {
  columns: u32,
  // In floats.
  input_stride: u32,
  // Row of `output` for the first sequence of this run.
  first_output_row: u32,
  // 0 mean, 1 last, 2 cls
  kind: u32,
  normalize: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Pairs: first row of the sequence, number of rows.
@group(0) @binding(1) var<storage, read> sequences: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

const LANES: u32 = 64u;
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let sequence = sequences[group.x];
  var first = sequence.x;
  var count = sequence.y;
  if (params.kind == 1u) {
    first += count - 1u;
  }
  if (params.kind != 0u) {
    count = 1u;
  }
  let at = (params.first_output_row + group.x) * params.columns;
  var squares = 0.0;
  for (var c = lane; c < params.columns; c += LANES) {
    var sum = 0.0;
    for (var r = 0u; r < count; r++) {
      sum += input[(first + r) * params.input_stride + c];
    }
    let value = sum / f32(count);
    output[at + c] = value;
    squares += value * value;
  }
  partial[lane] = squares;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      partial[lane] += partial[lane + width];
    }
    workgroupBarrier();
  }
  if (params.normalize != 0u) {
    // A row of zeros stays one.
    let factor = 1.0 / max(sqrt(partial[0]), 1e-12);
    for (var c = lane; c < params.columns; c += LANES) {
      output[at + c] *= factor;
    }
  }
}
