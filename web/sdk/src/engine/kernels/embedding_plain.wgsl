fn store_row(thread: u32, row: u32) {
  for (var quad = thread; quad < params.output_stride; quad += THREADS) {
    output[row + quad] = embedded(quad);
  }
}
