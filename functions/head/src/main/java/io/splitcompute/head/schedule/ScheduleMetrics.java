package io.splitcompute.head.schedule;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;

/** The meters of queue and batches. */
final class ScheduleMetrics {

  private final MeterRegistry registry;
  private final Counter refusals;

  ScheduleMetrics(MeterRegistry registry, RunQueue queue) {
    this.registry = registry;
    // Now: a counter that comes with the first refusal hides that refusal from a rate.
    this.refusals =
        Counter.builder("splitcompute.refusals")
            .description("Requests that were answered 429")
            .register(registry);
    registry.gauge("splitcompute.queue.requests", queue, RunQueue::waitingRequests);
    registry.gauge("splitcompute.queue.tokens", queue, RunQueue::waitingTokens);
  }

  /** A request came to its first batch. */
  void started(QueuedRun run, long waitNanos) {
    Timer.builder("splitcompute.queue.wait")
        .description("From a request's arrival to its first batch")
        .tag("model", run.model.name())
        .publishPercentileHistogram()
        .minimumExpectedValue(Duration.ofMillis(1))
        .maximumExpectedValue(Duration.ofSeconds(30))
        .register(registry)
        .record(Duration.ofNanos(waitNanos));
    DistributionSummary.builder("splitcompute.request.cut")
        .description("Layers that a request asks for")
        .tag("model", run.model.name())
        .serviceLevelObjectives(1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
        .register(registry)
        .record(run.cut);
  }

  /**
   * A batch left the device.
   *
   * @param bytes of activations, where it was widest
   */
  void ran(Batch batch, long bytes, int layers, long tokenLayers, long nanos) {
    String model = batch.model().name();
    DistributionSummary.builder("splitcompute.batch.tokens")
        .tag("model", model)
        .serviceLevelObjectives(16, 64, 256, 1024, 4096, 16384)
        .register(registry)
        .record(batch.tokenCount());
    DistributionSummary.builder("splitcompute.batch.bytes")
        .description("Activations of a batch where a layer is widest, by its shapes")
        .tag("model", model)
        .register(registry)
        .record((double) bytes);
    DistributionSummary.builder("splitcompute.batch.sequences")
        .tag("model", model)
        .register(registry)
        .record(batch.sequences().size());
    Timer.builder("splitcompute.device.busy")
        .description("Time of batches on the device")
        .tag("model", model)
        .register(registry)
        .record(Duration.ofNanos(nanos));
    count("splitcompute.layers", model, layers);
    count("splitcompute.token.layers", model, (double) tokenLayers);
  }

  /** A batch did not fit the device. */
  void outOfMemory(Batch batch) {
    count("splitcompute.device.out.of.memory", batch.model().name(), 1);
  }

  /** A request was refused. */
  void refused() {
    refusals.increment();
  }

  private void count(String name, String model, double amount) {
    Counter.builder(name).tag("model", model).register(registry).increment(amount);
  }
}
