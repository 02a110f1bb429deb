package io.splitcompute.weights.store;

import java.io.InterruptedIOException;

/**
 * Adds up the bytes of several threads' work and passes the sum on; and tells them when the work is
 * given up. Not by interrupting them: a request that is broken off leaves it open whether it was
 * heeded.
 */
final class ByteCount {

  private final ByteProgress progress;
  private final long all;
  private long done;
  private boolean givenUp;

  ByteCount(ByteProgress progress, long all) {
    this.progress = progress;
    this.all = all;
    progress.at(0, all);
  }

  /** What is not sent yet need not be. */
  synchronized void giveUp() {
    givenUp = true;
  }

  /**
   * @throws InterruptedIOException if the work is given up
   */
  synchronized void requireWanted() throws InterruptedIOException {
    if (givenUp) {
      throw new InterruptedIOException("the rest is not sent");
    }
  }

  synchronized void add(long bytes) {
    done += bytes;
    progress.at(done, all);
  }
}
