package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Who shares a batch with whom, who goes first, and who is refused. */
@Timeout(30)
@SuppressWarnings("FutureReturnValueIgnored") // refusals and cancellations are what is looked at
final class SchedulerTest {

  private static final BatchLimits LIMITS =
      new BatchLimits(16, Duration.ofMillis(3), Duration.ofSeconds(10), 1024, true);

  private static BatchLimits limits(int maxTokens, Duration maxWait, int maxRequests) {
    return new BatchLimits(maxTokens, Duration.ofMillis(3), maxWait, maxRequests, true);
  }

  private static Scheduler scheduler(BatchLimits limits, int devices) {
    return new Scheduler(limits, devices, new SimpleMeterRegistry());
  }

  private static ScheduledModel model(LayerStack layers) {
    return new ScheduledModel("fake", List.of(layers), new Rate());
  }

  /** Lets the device wait, before its first layer, for the test to have queued all it wants. */
  private static final class Gate {
    private final CountDownLatch running = new CountDownLatch(1);
    private final CountDownLatch open = new CountDownLatch(1);

    void pass(int layer) {
      running.countDown();
      try {
        assertTrue(open.await(20, TimeUnit.SECONDS));
      } catch (InterruptedException stopped) {
        throw new IllegalStateException(stopped);
      }
    }

    void awaitRunning() throws InterruptedException {
      assertTrue(running.await(20, TimeUnit.SECONDS));
    }
  }

  @Test
  void shouldLetEachRequestOfASharedBatchLeaveAtItsOwnCut() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = model(layers);
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      CompletableFuture<HeadRun> first =
          scheduler.submit(model, FakeLayers.tokens(100, 1), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> two = scheduler.submit(model, FakeLayers.tokens(200, 3), 2, null);
      CompletableFuture<HeadRun> five =
          scheduler.submit(model, FakeLayers.tokens(300, 2, 1), 5, null);
      CompletableFuture<HeadRun> one = scheduler.submit(model, FakeLayers.tokens(400, 4), 1, null);
      gate.open.countDown();

      assertArrayEquals(new float[] {101}, first.get().hidden());
      assertArrayEquals(new float[] {202, 202, 202}, two.get().hidden());
      assertArrayEquals(new float[] {305, 305, 305}, five.get().hidden());
      assertArrayEquals(new float[] {401, 401, 401, 401}, one.get().hidden());
    }
    assertEquals(2, layers.batches.size());
    assertArrayEquals(new int[] {1, 2, 3, 4}, layers.batches.get(1));
    assertEquals(List.of(1, 10, 6, 3, 3, 3), layers.layerTokens);
  }

  @Test
  void shouldRunNoLayerBeyondACutWhereTheDeviceTakesSeveralAtOnce() throws Exception {
    FakeLayers layers = FakeLayers.atOnce(8);
    ScheduledModel model = model(layers);
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      for (int cut : new int[] {1, 7, 8, 9, 20}) {
        assertArrayEquals(
            new float[] {5 + cut},
            scheduler.submit(model, FakeLayers.tokens(5, 1), cut, null).get().hidden());
      }
      List<CompletableFuture<HeadRun>> together =
          List.of(3, 11, 12).stream()
              .map(cut -> scheduler.submit(model, FakeLayers.tokens(5, 1), cut, null))
              .toList();
      assertArrayEquals(new float[] {8}, together.get(0).get().hidden());
      assertArrayEquals(new float[] {16}, together.get(1).get().hidden());
      assertArrayEquals(new float[] {17}, together.get(2).get().hidden());
    }
  }

  @Test
  void shouldGiveEveryRequestItsOwnRowsWhateverItSharesABatchWith() throws Exception {
    Random random = new Random(7);
    ScheduledModel model = model(new FakeLayers());
    try (Scheduler scheduler = scheduler(limits(16, Duration.ofHours(1), 1024), 1)) {
      List<CompletableFuture<HeadRun>> answers = new ArrayList<>();
      List<float[]> expected = new ArrayList<>();
      for (int i = 0; i < 500; i++) {
        int[] lengths = random.ints(1 + random.nextInt(3), 1, 9).toArray();
        int[] tokens = random.ints(Arrays.stream(lengths).sum(), 0, 1 << 20).toArray();
        int cut = 1 + random.nextInt(12);
        answers.add(scheduler.submit(model, new TokenBatch(tokens, lengths), cut, null));
        float[] rows = new float[tokens.length];
        for (int j = 0; j < rows.length; j++) {
          rows[j] = tokens[j] + cut;
        }
        expected.add(rows);
      }
      for (int i = 0; i < answers.size(); i++) {
        assertArrayEquals(expected.get(i), answers.get(i).get().hidden());
      }
    }
  }

  @Test
  void shouldHoldUpASmallRequestForNoMoreThanTheBatchThatRuns() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = model(layers);
    int[] many = new int[10_000];
    Arrays.fill(many, 2);
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      CompletableFuture<HeadRun> large =
          scheduler.submit(model, FakeLayers.tokens(1, many), 1, null);
      gate.awaitRunning();
      AtomicInteger batchesBefore = new AtomicInteger();
      CompletableFuture<Void> small =
          scheduler
              .submit(model, FakeLayers.tokens(2, 3), 1, null)
              .thenAccept(run -> batchesBefore.set(layers.batches.size()));
      gate.open.countDown();

      small.get();
      assertEquals(2, batchesBefore.get());
      assertEquals(20_000, large.get().hidden().length);
    }
  }

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
                try {
                  assertTrue(gone.await(20, TimeUnit.SECONDS));
                } catch (InterruptedException stopped) {
                  throw new IllegalStateException(stopped);
                }
              }
            });
    ScheduledModel model = model(layers);
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      CompletableFuture<HeadRun> answer =
          scheduler.submit(model, FakeLayers.tokens(1, 5), 12, null);
      assertTrue(running.await(20, TimeUnit.SECONDS));
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
    ScheduledModel model = model(layers);
    try (Scheduler scheduler = scheduler(limits(16, Duration.ofSeconds(10), 1), 1)) {
      CompletableFuture<HeadRun> first = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
      gate.awaitRunning();
      scheduler.submit(model, FakeLayers.tokens(2, 7), 1, null).cancel(false);
      gate.open.countDown();
      first.get();
      assertArrayEquals(
          new float[] {4},
          scheduler.submit(model, FakeLayers.tokens(3, 1), 1, null).get().hidden());
    }
    assertEquals(List.of(1, 1), layers.layerTokens);
  }

  @Test
  void shouldRefuseWithRetryAfterOnceTheWaitWouldBeTooLong() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = model(new FakeLayers(1000, gate::pass));
    model.rate().add(1, 10, 1);
    try (Scheduler scheduler = scheduler(limits(16, Duration.ofSeconds(10), 1024), 1)) {
      scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
      gate.awaitRunning();
      int[] sixteen = new int[16];
      Arrays.fill(sixteen, 1);
      scheduler.submit(model, FakeLayers.tokens(1, sixteen), 12, null);

      ProblemException refused =
          assertThrows(
              ProblemException.class,
              () -> scheduler.submit(model, FakeLayers.tokens(1, sixteen), 12, null));
      assertEquals(ProblemType.OVERLOADED, refused.type());
      Duration retryAfter = refused.retryAfter();
      assertTrue(retryAfter != null && retryAfter.toSeconds() >= 9, "" + retryAfter);
      // A small one waits for no more than a turn of the large one.
      scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
      gate.open.countDown();
    }
  }

  @Test
  void shouldRefuseOnceTooManyWait() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = model(new FakeLayers(1000, gate::pass));
    try (Scheduler scheduler = scheduler(limits(16, Duration.ofSeconds(10), 3), 1)) {
      scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
      gate.awaitRunning();
      List<CompletableFuture<HeadRun>> waiting = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        waiting.add(scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null));
      }
      assertThrows(ProblemException.class, () -> scheduler.admit(() -> true));
      assertThrows(
          ProblemException.class, () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null));
      gate.open.countDown();
      for (CompletableFuture<HeadRun> answer : waiting) {
        answer.get();
      }
      scheduler.admit(() -> true);
    }
  }

  @Test
  void shouldRefuseBeforeTokensAreMadeHoweverManyComeAtOnce() throws Exception {
    ScheduledModel model = model(new FakeLayers());
    try (Scheduler scheduler = scheduler(limits(16, Duration.ofSeconds(10), 2), 1)) {
      scheduler
          .admit(
              () ->
                  scheduler.admit(
                      () -> {
                        // Two are at their tokens, and nothing waits yet.
                        assertThrows(
                            ProblemException.class, () -> scheduler.admit(() -> fail("worked")));
                        return scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
                      }))
          .get();
      assertThrows(
          IllegalStateException.class,
          () ->
              scheduler.admit(
                  () -> {
                    throw new IllegalStateException("no tokens");
                  }));
      // What is through, and what failed, keeps no place.
      assertEquals(
          2,
          scheduler
              .admit(
                  () ->
                      scheduler.admit(
                          () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null)))
              .get()
              .hidden()[0]);
    }
  }

  @Test
  void shouldRefuseWhatIsLeftOfABatchThatDoesNotFitWhenItStops() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = model(new FakeLayers(5, gate::pass));
    Scheduler scheduler = scheduler(LIMITS, 1);
    CompletableFuture<HeadRun> running =
        scheduler.submit(model, FakeLayers.tokens(1, 4, 4), 1, null);
    gate.awaitRunning();
    CompletableFuture<HeadRun> waiting = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    CompletableFuture<Void> closing = CompletableFuture.runAsync(scheduler::close);
    assertThrows(ExecutionException.class, waiting::get);
    gate.open.countDown();
    closing.get();
    assertThrows(ExecutionException.class, () -> running.get(1, TimeUnit.SECONDS));
  }

  @Test
  void shouldGoOnInSmallerBatchesWhenTheDeviceIsOutOfMemory() throws Exception {
    FakeLayers layers = new FakeLayers(5, layer -> {});
    ScheduledModel model = model(layers);
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      int[] lengths = {2, 3, 4, 1, 2, 2, 1, 1};
      float[] expected = new float[16];
      Arrays.fill(expected, 13);
      assertArrayEquals(
          expected,
          scheduler.submit(model, FakeLayers.tokens(10, lengths), 3, null).get().hidden());
    }
  }

  @Test
  void shouldFailOnlyTheInputThatFitsInNoBatch() throws Exception {
    ScheduledModel model = model(new FakeLayers(5, layer -> {}));
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      CompletableFuture<HeadRun> large = scheduler.submit(model, FakeLayers.tokens(1, 6), 2, null);
      CompletableFuture<HeadRun> small = scheduler.submit(model, FakeLayers.tokens(1, 5), 2, null);

      ExecutionException failed = assertThrows(ExecutionException.class, large::get);
      assertInstanceOf(ProblemException.class, failed.getCause());
      assertEquals(3, small.get().hidden()[0]);
    }
  }

  @Test
  void shouldFailABatchAndServeTheNextWhenTheDeviceFails() throws Exception {
    AtomicInteger failures = new AtomicInteger(1);
    ScheduledModel model =
        model(
            new FakeLayers(
                1000,
                layer -> {
                  if (failures.getAndDecrement() > 0) {
                    throw new IllegalStateException("broken");
                  }
                }));
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      assertThrows(
          ExecutionException.class,
          () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null).get());
      assertEquals(2, scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null).get().hidden()[0]);
    }
  }

  @Test
  void shouldPoolThoseThatAskForItAndLeaveTheOthersTheirRows() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = model(layers);
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      scheduler.submit(model, FakeLayers.tokens(0, 1), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> rows =
          scheduler.submit(model, FakeLayers.tokens(10, 2, 1), 2, null);
      CompletableFuture<HeadRun> pooled =
          scheduler.submit(model, FakeLayers.tokens(20, 3, 1), 2, Manifest.Pooling.Kind.MEAN);
      gate.open.countDown();

      assertArrayEquals(new float[] {12, 12, 12}, rows.get().hidden());
      assertArrayEquals(new float[] {22, 22}, pooled.get().hidden());
    }
    assertEquals(2, layers.batches.size());
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
    try (Scheduler scheduler = scheduler(LIMITS, 1)) {
      int[] many = new int[100];
      Arrays.fill(many, 16);
      CompletableFuture<HeadRun> large =
          scheduler.submit(model(firsts), FakeLayers.tokens(1, many), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> other = scheduler.submit(second, FakeLayers.tokens(1, 1), 1, null);
      gate.open.countDown();
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
          try {
            assertTrue(both.await(20, TimeUnit.SECONDS));
          } catch (InterruptedException stopped) {
            throw new IllegalStateException(stopped);
          }
        };
    ScheduledModel model =
        new ScheduledModel(
            "fake", List.of(new FakeLayers(1000, meet), new FakeLayers(1000, meet)), new Rate());
    try (Scheduler scheduler = scheduler(LIMITS, 2)) {
      CompletableFuture<HeadRun> one = scheduler.submit(model, FakeLayers.tokens(1, 16), 1, null);
      CompletableFuture<HeadRun> two = scheduler.submit(model, FakeLayers.tokens(2, 16), 1, null);
      assertEquals(2, one.get().hidden()[0]);
      assertEquals(3, two.get().hidden()[0]);
    }
  }

  @Test
  void shouldRefuseWhatWaitsWhenItStops() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = model(new FakeLayers(1000, gate::pass));
    Scheduler scheduler = scheduler(LIMITS, 1);
    CompletableFuture<HeadRun> running = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    gate.awaitRunning();
    CompletableFuture<HeadRun> waiting = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    CompletableFuture<Void> closing = CompletableFuture.runAsync(scheduler::close);
    assertThrows(ExecutionException.class, waiting::get);
    gate.open.countDown();
    closing.get();
    assertEquals(2, running.get().hidden()[0]);
    assertThrows(
        ProblemException.class, () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null));
  }
}
