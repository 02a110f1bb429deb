package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Who shares a batch, and what each gets of it. */
@Timeout(30)
@SuppressWarnings("FutureReturnValueIgnored") // refusals and cancellations are what is looked at
final class BatchTest {

  @Test
  void shouldLetEachRequestOfASharedBatchLeaveAtItsOwnCut() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      CompletableFuture<HeadRun> first =
          scheduler.submit(model, FakeLayers.tokens(100, 1), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> two = scheduler.submit(model, FakeLayers.tokens(200, 3), 2, null);
      CompletableFuture<HeadRun> five =
          scheduler.submit(model, FakeLayers.tokens(300, 2, 1), 5, null);
      CompletableFuture<HeadRun> one = scheduler.submit(model, FakeLayers.tokens(400, 4), 1, null);
      gate.open();

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
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
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
    ScheduledModel model = new FakeLayers().model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.limits(16, Duration.ofHours(1), 1024), 1)) {
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
  void shouldPoolThoseThatAskForItAndLeaveTheOthersTheirRows() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      scheduler.submit(model, FakeLayers.tokens(0, 1), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> rows =
          scheduler.submit(model, FakeLayers.tokens(10, 2, 1), 2, null);
      CompletableFuture<HeadRun> pooled =
          scheduler.submit(model, FakeLayers.tokens(20, 3, 1), 2, Manifest.Pooling.Kind.MEAN);
      gate.open();

      assertArrayEquals(new float[] {12, 12, 12}, rows.get().hidden());
      assertArrayEquals(new float[] {22, 22}, pooled.get().hidden());
    }
    assertEquals(2, layers.batches.size());
  }

  @Test
  void shouldKeepABatchWithinTheMemoryOfItsDevice() throws Exception {
    Gate gate = new Gate();
    FakeLayers layers = new FakeLayers(1000, gate::pass);
    layers.bytesLeft = 4 * layers.bytesPerToken() + 9;
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      scheduler.submit(model, FakeLayers.tokens(0, 1), 1, null);
      gate.awaitRunning();
      CompletableFuture<HeadRun> many =
          scheduler.submit(model, FakeLayers.tokens(10, 2, 2, 2, 1), 1, null);
      CompletableFuture<HeadRun> large = scheduler.submit(model, FakeLayers.tokens(20, 9), 1, null);
      gate.open();

      assertEquals(7, many.get().hidden().length);
      assertEquals(9, large.get().hidden().length);
    }
    for (int[] lengths : layers.batches) {
      assertTrue(
          lengths.length == 1 || Arrays.stream(lengths).sum() <= 4, Arrays.toString(lengths));
    }
    assertTrue(layers.batches.size() < 6, "" + layers.batches.size());
  }

  @Test
  void shouldCountABatchBeforeItsLastAnswerLeaves() throws Exception {
    SimpleMeterRegistry meters = new SimpleMeterRegistry();
    Gate gate = new Gate();
    try (Scheduler scheduler = new Scheduler(Schedulers.LIMITS, 1, meters)) {
      CompletableFuture<Double> counted =
          scheduler
              .submit(new FakeLayers(1000, gate::pass).model(), FakeLayers.tokens(1, 1), 3, null)
              .thenApply(run -> meters.get("splitcompute.layers").counter().count());
      gate.open();
      assertEquals(3, counted.get());
    }
  }
}
