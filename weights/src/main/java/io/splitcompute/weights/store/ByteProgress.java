package io.splitcompute.weights.store;

/** Told how far a transfer is, in bytes of the whole. Never told less than before. */
@FunctionalInterface
public interface ByteProgress {

  /**
   * @param done bytes that are through, including those that needed no transfer
   * @param all bytes that there are
   */
  void at(long done, long all);
}
