package io.splitcompute.infra;

import java.util.Map;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.services.cloudwatch.Metric;

/** What the heads in containers report, over all of them. */
final class HeadMetrics {

  static final String NAMESPACE = "SplitCompute";

  /** The dimension that they all have, with the value {@code head}. */
  static final String SERVICE = "service";

  static final String QUEUED_REQUESTS = "splitcompute_queue_requests";
  static final String QUEUED_TOKENS = "splitcompute_queue_tokens";
  static final String DEVICE_SECONDS = "splitcompute_device_busy_seconds_sum";

  private HeadMetrics() {}

  static Metric queuedRequests() {
    return metric(QUEUED_REQUESTS, "Average");
  }

  static Metric queuedTokens() {
    return metric(QUEUED_TOKENS, "Average");
  }

  /** Seconds that the GPUs worked. */
  static Metric deviceSeconds() {
    return metric(DEVICE_SECONDS, "Sum");
  }

  private static Metric metric(String name, String statistic) {
    return Metric.Builder.create()
        .namespace(NAMESPACE)
        .metricName(name)
        .dimensionsMap(Map.of(SERVICE, "head"))
        .statistic(statistic)
        .period(Duration.minutes(1))
        .build();
  }
}
