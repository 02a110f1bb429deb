package io.splitcompute.head.schedule;

import io.micronaut.context.annotation.ConfigurationProperties;
import io.micronaut.core.bind.annotation.Bindable;
import java.time.Duration;

/**
 * What bounds batches and the queue.
 *
 * @param maxTokens of a batch, where the device's memory allows as many; a longer sequence runs
 *     alone
 * @param gather how long the device waits for company when others were seen lately
 * @param maxWait a request that would wait longer is refused
 * @param maxRequests that wait at once
 * @param shared whether requests share batches; off, each runs alone, for comparison
 */
@ConfigurationProperties("splitcompute.batch")
public record BatchLimits(
    @Bindable(defaultValue = "2048") int maxTokens,
    @Bindable(defaultValue = "3ms") Duration gather,
    @Bindable(defaultValue = "10s") Duration maxWait,
    @Bindable(defaultValue = "1024") int maxRequests,
    @Bindable(defaultValue = "true") boolean shared) {

  /**
   * @throws IllegalArgumentException if a bound allows nothing
   */
  public BatchLimits {
    if (maxTokens < 1
        || maxRequests < 1
        || gather.isNegative()
        || maxWait.isZero()
        || maxWait.isNegative()) {
      throw new IllegalArgumentException(
          "splitcompute.batch must have max-tokens, max-requests and max-wait above 0");
    }
  }
}
