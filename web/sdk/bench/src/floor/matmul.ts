/** One way to tile a matmul: what a workgroup and a thread compute, and in how many slices the inner dimension is cut. */
export interface Tiling {
  readonly tileRows: number
  readonly tileColumns: number
  readonly rows: number
  readonly columns: number
  readonly depth: number
  readonly slices: number
}

/** Hand-picked tilings for GPUs of all sizes; the best of them at a shape is the yardstick there. */
export const TILINGS: readonly Tiling[] = [
  { tileRows: 16, tileColumns: 64, rows: 2, columns: 4, depth: 16, slices: 4 },
  { tileRows: 16, tileColumns: 64, rows: 2, columns: 4, depth: 32, slices: 8 },
  { tileRows: 32, tileColumns: 64, rows: 4, columns: 4, depth: 16, slices: 1 },
  { tileRows: 32, tileColumns: 64, rows: 4, columns: 4, depth: 16, slices: 4 },
  { tileRows: 64, tileColumns: 64, rows: 8, columns: 4, depth: 16, slices: 1 },
  { tileRows: 64, tileColumns: 64, rows: 8, columns: 4, depth: 8, slices: 4 },
  { tileRows: 64, tileColumns: 128, rows: 8, columns: 8, depth: 16, slices: 1 },
]

/**
 * `y[slice] = x w` over the slice's part of the inner dimension, all f32: x `[m, k]`, w `[k, n]`, y `[slices, m, n]`. `k` and `n` are
 * multiples of 4; tiles lie in workgroup memory.
 */
export function tiledMatmul(m: number, k: number, n: number, tiling: Tiling): string {
  const { tileRows, tileColumns, rows, columns, depth, slices } = tiling
  const across = tileColumns / columns
  const threads = across * (tileRows / rows)
  const slice = Math.ceil(k / slices / depth) * depth
  const vectors = columns / 4
  return `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
var<workgroup> xs: array<f32, ${depth * tileRows}>;
var<workgroup> ws: array<vec4f, ${(depth * tileColumns) / 4}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let firstRow = group.y * ${tileRows}u;
  let firstColumn = group.x * ${tileColumns}u;
  let threadRow = thread / ${across}u * ${rows}u;
  let threadVector = thread % ${across}u;
  let begin = group.z * ${slice}u;
  let end = min(${k}u, begin + ${slice}u);
  var sums: array<array<vec4f, ${vectors}>, ${rows}>;
  for (var at = begin; at < end; at += ${depth}u) {
    for (var i = thread; i < ${depth * tileRows}u; i += ${threads}u) {
      let row = firstRow + i / ${depth}u;
      let inner = at + i % ${depth}u;
      xs[i % ${depth}u * ${tileRows}u + i / ${depth}u] = select(0.0, x[row * ${k}u + inner], row < ${m}u && inner < end);
    }
    for (var i = thread; i < ${(depth * tileColumns) / 4}u; i += ${threads}u) {
      let inner = at + i / ${tileColumns / 4}u;
      let column = firstColumn / 4u + i % ${tileColumns / 4}u;
      ws[i] = select(vec4f(), w[inner * ${n / 4}u + column], inner < end && column < ${n / 4}u);
    }
    workgroupBarrier();
    for (var inner = 0u; inner < ${depth}u; inner++) {
      var b: array<vec4f, ${vectors}>;
      for (var v = 0u; v < ${vectors}u; v++) { b[v] = ws[inner * ${tileColumns / 4}u + v * ${across}u + threadVector]; }
      for (var r = 0u; r < ${rows}u; r++) {
        let a = xs[inner * ${tileRows}u + threadRow + r];
        for (var v = 0u; v < ${vectors}u; v++) { sums[r][v] = fma(vec4f(a), b[v], sums[r][v]); }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < ${rows}u; r++) {
    let row = firstRow + threadRow + r;
    for (var v = 0u; v < ${vectors}u; v++) {
      let column = firstColumn / 4u + v * ${across}u + threadVector;
      if (row < ${m}u && column < ${n / 4}u) { y[(group.z * ${m}u + row) * ${n / 4}u + column] = sums[r][v]; }
    }
  }
}`
}

/** Workgroups of `tiledMatmul`. */
export function tiledGrid(m: number, n: number, { tileRows, tileColumns, slices }: Tiling): Grid {
  return [Math.ceil(n / tileColumns), Math.ceil(m / tileRows), slices]
}

export type Grid = readonly [number, number, number]

/** The same without workgroup memory: a thread computes 4 x 4 outputs. What a GPU in software runs best. */
export function plainMatmul(m: number, k: number, n: number): string {
  return `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  let row = id.y * 4u;
  if (column >= ${n / 4}u) { return; }
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  let r1 = min(row + 1u, ${m - 1}u) * ${k}u;
  let r2 = min(row + 2u, ${m - 1}u) * ${k}u;
  let r3 = min(row + 3u, ${m - 1}u) * ${k}u;
  for (var inner = 0u; inner < ${k}u; inner++) {
    let b = w[inner * ${n / 4}u + column];
    s0 += x[row * ${k}u + inner] * b;
    s1 += x[r1 + inner] * b;
    s2 += x[r2 + inner] * b;
    s3 += x[r3 + inner] * b;
  }
  y[row * ${n / 4}u + column] = s0;
  if (row + 1u < ${m}u) { y[(row + 1u) * ${n / 4}u + column] = s1; }
  if (row + 2u < ${m}u) { y[(row + 2u) * ${n / 4}u + column] = s2; }
  if (row + 3u < ${m}u) { y[(row + 3u) * ${n / 4}u + column] = s3; }
}`
}

export function plainGrid(m: number, n: number): Grid {
  return [Math.ceil(n / 64), Math.ceil(m / 4), 1]
}

/** One row: a workgroup reads the columns of 64 outputs, its threads side by side and in slices along the inner dimension. */
export function rowMatmul(k: number, n: number): string {
  return `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
var<workgroup> sums: array<vec4f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let column = group.x * 8u + thread % 8u;
  var sum = vec4f();
  for (var inner = thread / 8u; inner < ${k}u; inner += 32u) {
    sum = fma(vec4f(x[inner]), w[inner * ${n / 4}u + min(column, ${n / 4 - 1}u)], sum);
  }
  sums[thread] = sum;
  workgroupBarrier();
  for (var half = 128u; half >= 8u; half /= 2u) {
    if (thread < half) { sums[thread] += sums[thread + half]; }
    workgroupBarrier();
  }
  if (thread < 8u && column < ${n / 4}u) { y[column] = sums[thread]; }
}`
}

export function rowGrid(n: number): Grid {
  return [Math.ceil(n / 32), 1, 1]
}
