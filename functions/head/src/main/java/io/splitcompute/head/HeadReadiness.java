package io.splitcompute.head;

import io.micronaut.core.async.publisher.Publishers;
import io.micronaut.health.HealthStatus;
import io.micronaut.management.health.indicator.HealthIndicator;
import io.micronaut.management.health.indicator.HealthResult;
import io.micronaut.management.health.indicator.annotation.Readiness;
import io.splitcompute.head.model.Heads;
import jakarta.inject.Singleton;
import org.reactivestreams.Publisher;

/** The head is ready when its models are loaded, but for those that cannot be. */
@Singleton
@Readiness
final class HeadReadiness implements HealthIndicator {

  private final Heads heads;

  HeadReadiness(Heads heads) {
    this.heads = heads;
  }

  @Override
  public Publisher<HealthResult> getResult() {
    return Publishers.just(
        HealthResult.builder("head", heads.ready() ? HealthStatus.UP : HealthStatus.DOWN).build());
  }
}
