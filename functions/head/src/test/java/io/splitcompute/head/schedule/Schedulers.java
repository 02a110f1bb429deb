package io.splitcompute.head.schedule;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.time.Duration;

/** Schedulers as the tests want them. */
final class Schedulers {

  static final BatchLimits LIMITS = limits(16, Duration.ofSeconds(10), 1024);

  private Schedulers() {}

  static BatchLimits limits(int maxTokens, Duration maxWait, int maxRequests) {
    return new BatchLimits(maxTokens, Duration.ofMillis(3), maxWait, maxRequests, true);
  }

  static Scheduler of(BatchLimits limits, int devices) {
    return new Scheduler(limits, devices, new SimpleMeterRegistry());
  }
}
