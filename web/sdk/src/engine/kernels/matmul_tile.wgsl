// Many rows: a workgroup computes TILE_ROWS x TILE_COLUMNS outputs from tiles of DEPTH columns in workgroup memory, a thread
// ROWS x COLUMNS of them. Both tiles keep the inner dimension in vec4s, so nothing is transposed; a row of them takes an odd
// number of vec4s, so that neighbouring rows lie in different banks. A slice of the inner dimension is one z of the grid: few
// rows alone would leave a large GPU empty. `output` has the sums of slice after slice, for another kernel to add up.
const QUADS = DEPTH / 4u;
const EIGHTHS = DEPTH / 8u;
const PITCH = QUADS + 1u;
const ACROSS = TILE_COLUMNS / COLUMNS;
const DOWN = TILE_ROWS / ROWS;
const THREADS = ACROSS * DOWN;
// Of a thread. Whole numbers in every variant, so that the loops have no bounds to check and their addresses are found once.
const INPUT_LOADS = TILE_ROWS * QUADS / THREADS;
const WEIGHT_LOADS = TILE_COLUMNS * EIGHTHS / THREADS;

var<workgroup> input_tile: array<vec4<f32>, TILE_ROWS * PITCH>;
var<workgroup> weight_tile: array<vec4<f32>, TILE_COLUMNS * PITCH>;

fn accumulate(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

// What this thread brings of the tiles, from a step on.
struct Loads {
  inputs: array<vec4<f32>, INPUT_LOADS>,
  weights: array<Eight, WEIGHT_LOADS>,
}

fn load(thread: u32, first_row: u32, first_column: u32, step: u32) -> Loads {
  var loads: Loads;
  for (var i = 0u; i < INPUT_LOADS; i++) {
    let row = min(first_row + (thread + i * THREADS) / QUADS, params.rows - 1u);
    loads.inputs[i] = input[row * params.input_stride + step * 2u + (thread + i * THREADS) % QUADS];
  }
  for (var i = 0u; i < WEIGHT_LOADS; i++) {
    let row = min(first_column + (thread + i * THREADS) / EIGHTHS, params.columns - 1u);
    loads.weights[i] = weights(row, step + (thread + i * THREADS) % EIGHTHS);
  }
  return loads;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  let first_row = group.y * TILE_ROWS;
  let first_column = group.x * TILE_COLUMNS;
  let first_step = group.z * params.slice_steps;
  let end_step = min(params.steps, first_step + params.slice_steps);
  var sums: array<f32, ROWS * COLUMNS>;
  var loads = load(thread, first_row, first_column, first_step);
  for (var step = first_step; step < end_step; step += EIGHTHS) {
    for (var i = 0u; i < INPUT_LOADS; i++) {
      input_tile[(thread + i * THREADS) / QUADS * PITCH + (thread + i * THREADS) % QUADS] = loads.inputs[i];
    }
    for (var i = 0u; i < WEIGHT_LOADS; i++) {
      let at = (thread + i * THREADS) / EIGHTHS * PITCH + (thread + i * THREADS) % EIGHTHS * 2u;
      weight_tile[at] = loads.weights[i].low;
      weight_tile[at + 1u] = loads.weights[i].high;
    }
    workgroupBarrier();
    // Underway while this tile is computed; behind the last there is none, and it comes again.
    loads = load(thread, first_row, first_column, min(step + EIGHTHS, end_step - EIGHTHS));
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
