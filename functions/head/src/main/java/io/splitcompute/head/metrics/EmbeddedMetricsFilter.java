package io.splitcompute.head.metrics;

import io.micronaut.context.annotation.Requires;
import io.micronaut.http.annotation.ResponseFilter;
import io.micronaut.http.annotation.ServerFilter;

/** Writes metrics to standard output with each answer: behind it a function may be frozen. */
@ServerFilter("/v1/**")
@Requires(beans = EmbeddedMetrics.class)
final class EmbeddedMetricsFilter {

  private final EmbeddedMetrics metrics;

  EmbeddedMetricsFilter(EmbeddedMetrics metrics) {
    this.metrics = metrics;
  }

  @ResponseFilter
  void answered() {
    // One call a line: Lambda takes each for an event of the log.
    metrics.lines().forEach(System.out::println);
  }
}
