// What every matmul shares: output = input x weight^T, rows of `input` padded with zeros to a multiple of 32 floats.
struct Params {
  rows: u32,
  columns: u32,
  // Eight columns of the inner dimension each.
  steps: u32,
  // In elements of `weight`; in floats where UNALIGNED.
  weight_stride: u32,
  // In vec4s.
  input_stride: u32,
  // In floats.
  output_stride: u32,
  // Steps of one slice of the inner dimension.
  slice_steps: u32,
  // The output's column for the first of `columns`.
  first_column: u32,
  // What a LayerNorm of the input needs: its columns, and what is added to the variance.
  inner: u32,
  epsilon: f32,
}

struct Eight {
  low: vec4<f32>,
  high: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

// A NaN may hide in a row that pads a tile, so such rows are not stored.
fn store(row: u32, column: u32, sum: f32) {
  if (row < params.rows && column < params.columns) {
    let at = row * params.output_stride + params.first_column + column;
    if (RESIDUAL) {
      output[at] += sum + bias[column];
    } else if (BIAS) {
      output[at] = activate(sum + bias[column]);
    } else {
      output[at] = sum;
    }
  }
}
