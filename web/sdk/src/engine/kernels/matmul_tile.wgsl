// Many rows: a workgroup computes TILE_ROWS x TILE_COLUMNS outputs from tiles of DEPTH columns in workgroup memory, a thread
// ROWS x COLUMNS of them. Both tiles keep the inner dimension in vec4s, so nothing is transposed; a row of them takes an odd
// number of vec4s, so that neighbouring rows lie in different banks. A slice of the inner dimension is one z of the grid: few
// rows alone would leave a large GPU empty. `output` has the sums of slice after slice, for another kernel to add up.
const QUADS = DEPTH / 4u;
const PITCH = QUADS + 1u;
const ACROSS = TILE_COLUMNS / COLUMNS;
const DOWN = TILE_ROWS / ROWS;
const THREADS = ACROSS * DOWN;
// Of a thread. Whole numbers in every variant, so that the loops have no bounds to check and their addresses are found once.
const INPUT_LOADS = TILE_ROWS * QUADS / THREADS;
const WEIGHT_LOADS = TILE_COLUMNS * DEPTH / 8u / THREADS;

var<workgroup> input_tile: array<vec4<f32>, TILE_ROWS * PITCH>;
var<workgroup> weight_tile: array<vec4<f32>, TILE_COLUMNS * PITCH>;

fn accumulate(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  let first_row = group.y * TILE_ROWS;
  let first_column = group.x * TILE_COLUMNS;
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
  let first_step = group.z * params.slice_steps;
  let end_step = min(params.steps, first_step + params.slice_steps);
  var sums: array<f32, ROWS * COLUMNS>;
  for (var step = first_step; step < end_step; step += DEPTH / 8u) {
    for (var i = 0u; i < INPUT_LOADS; i++) {
      let row = (thread + i * THREADS) / QUADS;
      let quad = (thread + i * THREADS) % QUADS;
      input_tile[row * PITCH + quad] = input[min(first_row + row, last_row) * params.input_stride + step * 2u + quad];
    }
    for (var i = 0u; i < WEIGHT_LOADS; i++) {
      let row = (thread + i * THREADS) / (DEPTH / 8u);
      let eighth = (thread + i * THREADS) % (DEPTH / 8u);
      let w = weights(min(first_column + row, last_column), step + eighth);
      weight_tile[row * PITCH + eighth * 2u] = w.low;
      weight_tile[row * PITCH + eighth * 2u + 1u] = w.high;
    }
    workgroupBarrier();
    for (var quad = 0u; quad < QUADS; quad++) {
      var b: array<vec4<f32>, COLUMNS>;
      for (var c = 0u; c < COLUMNS; c++) {
        b[c] = weight_tile[(across + c * ACROSS) * PITCH + quad];
      }
      for (var r = 0u; r < ROWS; r++) {
        let a = input_tile[(down + r * DOWN) * PITCH + quad];
        for (var c = 0u; c < COLUMNS; c++) {
          sums[r * COLUMNS + c] = accumulate(sums[r * COLUMNS + c], a, b[c]);
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < ROWS; r++) {
    let row = first_row + down + r * DOWN;
    if (row < params.rows) {
      for (var c = 0u; c < COLUMNS; c++) {
        let column = first_column + across + c * ACROSS;
        if (column < params.columns) {
          output[(group.z * params.rows + row) * params.output_stride + params.first_column + column] = sums[r * COLUMNS + c];
        }
      }
    }
  }
}
