package io.splitcompute.weights.store;

/** Adds up the bytes of several threads' work and passes the sum on. */
final class ByteCount {

  private final ByteProgress progress;
  private final long all;
  private long done;

  ByteCount(ByteProgress progress, long all) {
    this.progress = progress;
    this.all = all;
    progress.at(0, all);
  }

  synchronized void add(long bytes) {
    done += bytes;
    progress.at(done, all);
  }
}
