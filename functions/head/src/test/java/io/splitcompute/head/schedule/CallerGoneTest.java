package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a caller that went away still costs: nothing. */
@Timeout(30)
@SuppressWarnings("FutureReturnValueIgnored") // refusals and cancellations are what is looked at
final class CallerGoneTest {

  @Test
  void shouldRunNoFurtherLayerForACallerThatWentAway() throws Exception {
    CountDownLatch gone = new CountDownLatch(1);
    CountDownLatch running = new CountDownLatch(1);
    FakeLayers layers =
        new FakeLayers(
            1000,
            layer -> {
              if (layer == 2) {
                running.countDown();
                Gate.await(gone);
              }
            });
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      CompletableFuture<HeadRun> answer =
          scheduler.submit(model, FakeLayers.tokens(1, 5), 12, null);
      Gate.await(running);
      answer.cancel(false);
      gone.countDown();
      assertArrayEquals(
          new float[] {10},
          scheduler.submit(model, FakeLayers.tokens(9, 1), 1, null).get().hidden());
    }
    assertEquals(List.of(5, 5, 5, 1), layers.layerTokens);
  }

  @Test
  void shouldNeitherRunNorCountAWaitingRequestThatWasCancelled() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.limits(16, Duration.ofSeconds(10), 1), 1)) {
      CompletableFuture<HeadRun> first = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
      gate.awaitRunning();
      scheduler.submit(model, FakeLayers.tokens(2, 7), 1, null).cancel(false);
      gate.open();
      first.get();
      assertArrayEquals(
          new float[] {4},
          scheduler.submit(model, FakeLayers.tokens(3, 1), 1, null).get().hidden());
    }
    assertEquals(List.of(1, 1), layers.layerTokens);
  }
}
