package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Who goes first: requests, models and devices take turns. */
@Timeout(30)
final class TurnsTest {

  @Test
  void shouldHoldUpASmallRequestForNoMoreThanTheBatchThatRuns() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = layers.model();
    int[] many = new int[10_000];
    Arrays.fill(many, 2);
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      CompletableFuture<HeadRun> large =
          scheduler.submit(model, FakeLayers.tokens(1, many), 1, null);
      gate.awaitRunning();
      AtomicInteger batchesBefore = new AtomicInteger();
      CompletableFuture<Void> small =
          scheduler
              .submit(model, FakeLayers.tokens(2, 3), 1, null)
              .thenAccept(run -> batchesBefore.set(layers.batches.size()));
      gate.open();

      small.get();
      assertEquals(2, batchesBefore.get());
      assertEquals(20_000, large.get().hidden().length);
    }
  }

  @Test
  void shouldServeModelsInTurns() throws Exception {
    Gate gate = new Gate();
    List<String> order = new CopyOnWriteArrayList<>();
    FakeLayers firsts =
        new FakeLayers(
            1000,
            layer -> {
              order.add("first");
              gate.pass(layer);
            });
    FakeLayers others = new FakeLayers(1000, layer -> order.add("other"));
    ScheduledModel second = new ScheduledModel("other", List.of(others), new Rate());
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      int[] many = new int[100];
      Arrays.fill(many, 16);
      CompletableFuture<HeadRun> large =
          scheduler.submit(firsts.model(), FakeLayers.tokens(1, many), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> other = scheduler.submit(second, FakeLayers.tokens(1, 1), 1, null);
      gate.open();
      other.get();
      large.get();
    }
    // What was next when it came, then it: the 98 others wait.
    assertEquals(List.of("first", "first", "other", "first"), order.subList(0, 4));
  }

  @Test
  void shouldShareWorkBetweenReplicas() throws Exception {
    CountDownLatch both = new CountDownLatch(2);
    IntConsumer meet =
        layer -> {
          both.countDown();
          Gate.await(both);
        };
    ScheduledModel model =
        new ScheduledModel(
            "fake", List.of(new FakeLayers(1000, meet), new FakeLayers(1000, meet)), new Rate());
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 2)) {
      CompletableFuture<HeadRun> one = scheduler.submit(model, FakeLayers.tokens(1, 16), 1, null);
      CompletableFuture<HeadRun> two = scheduler.submit(model, FakeLayers.tokens(2, 16), 1, null);
      assertEquals(2, one.get().hidden()[0]);
      assertEquals(3, two.get().hidden()[0]);
    }
  }
}
