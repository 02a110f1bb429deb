package io.splitcompute.head.model;

/**
 * What a model's weights take.
 *
 * @param mapped pages of the shards' files that arrays look at: the system may drop them and read
 *     them again
 * @param allocated on the device, laid out for it
 */
public record WeightBytes(long mapped, long allocated) {

  WeightBytes plus(WeightBytes other) {
    return new WeightBytes(mapped + other.mapped, allocated + other.allocated);
  }
}
