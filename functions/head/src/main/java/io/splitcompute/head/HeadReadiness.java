package io.splitcompute.head;

import io.micronaut.core.async.publisher.Publishers;
import io.micronaut.health.HealthStatus;
import io.micronaut.management.health.indicator.HealthIndicator;
import io.micronaut.management.health.indicator.HealthResult;
import io.micronaut.management.health.indicator.annotation.Readiness;
import io.splitcompute.head.model.Heads;
import io.splitcompute.head.schedule.Scheduler;
import jakarta.inject.Singleton;
import org.reactivestreams.Publisher;

/** The head is ready when its models are loaded, but for those that cannot be, and devices run. */
@Singleton
@Readiness
final class HeadReadiness implements HealthIndicator {

  private final Heads heads;
  private final Scheduler scheduler;

  HeadReadiness(Heads heads, Scheduler scheduler) {
    this.heads = heads;
    this.scheduler = scheduler;
  }

  @Override
  public Publisher<HealthResult> getResult() {
    boolean ready = heads.ready() && scheduler.isRunning();
    return Publishers.just(
        HealthResult.builder("head", ready ? HealthStatus.UP : HealthStatus.DOWN).build());
  }
}
