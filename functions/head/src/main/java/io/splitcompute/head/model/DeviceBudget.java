package io.splitcompute.head.model;

import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * The memory of one device that activations may take: what is free without us and without the
 * weights that are on it, and no more than a setting allows. Safe for use by several threads.
 */
public final class DeviceBudget {

  // The rest is for what libraries allocate beside us and for gaps between blocks.
  private static final double USABLE = 0.9;

  private final long usable;
  private final long most;
  private final AtomicLong weights = new AtomicLong();

  private DeviceBudget(long usable, long most) {
    this.usable = usable;
    this.most = most;
  }

  /**
   * @param free bytes of the device's memory before anything was put there; null if unknown
   * @param most bytes of activations that a setting allows; 0 for any
   * @throws IllegalArgumentException if they are fewer
   */
  public static DeviceBudget of(@Nullable Long free, long most) {
    if (most < 0) {
      throw new IllegalArgumentException("splitcompute.activation-bytes must be 0 or more");
    }
    return new DeviceBudget(
        free == null ? Long.MAX_VALUE : (long) (USABLE * free), most == 0 ? Long.MAX_VALUE : most);
  }

  /** Weights were put on the device. */
  void place(long bytes) {
    weights.addAndGet(bytes);
  }

  /** Weights were taken from the device. */
  void remove(long bytes) {
    weights.addAndGet(-bytes);
  }

  boolean isBounded() {
    return Math.min(most, usable) < Long.MAX_VALUE;
  }

  /** Bytes that activations may take now; {@link Long#MAX_VALUE} where nothing bounds them. */
  long left() {
    return usable == Long.MAX_VALUE ? most : Math.min(most, Math.max(0, usable - weights.get()));
  }
}
