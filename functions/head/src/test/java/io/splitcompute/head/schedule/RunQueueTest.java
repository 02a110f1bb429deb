package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.api.ProblemException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The wait that a queue expects, by what its devices have room for and by what they run. */
@Timeout(30)
final class RunQueueTest {

  private static final int CUT = 10;
  private static final int MAX_TOKENS = 2048;

  private static final BatchLimits LIMITS =
      Schedulers.limits(MAX_TOKENS, Duration.ofSeconds(10), 1024);

  /** Nanoseconds, as the queue's clock has them. */
  private final AtomicLong now = new AtomicLong();

  @Test
  void shouldCountNoMoreBatchesThanSequencesWhereADeviceHasNoRoom() {
    ScheduledModel model = slowLayers(withRoomFor(0));
    RunQueue queue = queue(1);

    for (int i = 0; i < 10; i++) {
      add(queue, model, 64);
    }
    // Ten batches of one second are ahead, and a little for their tokens.
    assertThrows(ProblemException.class, () -> add(queue, model, 64));
  }

  @Test
  void shouldCountBatchesByTheRoomiestDevice() {
    ScheduledModel model = slowLayers(withRoomFor(0), withRoomFor(MAX_TOKENS));
    RunQueue queue = queue(2);

    for (int i = 0; i < 100; i++) {
      add(queue, model, 16);
    }
    assertTrue(queue.hasRoom());
  }

  @Test
  void shouldRefuseARequestBehindARunningBatchThatTakesTooLong() throws Exception {
    ScheduledModel model = slowTokens();
    RunQueue queue = queue(1);
    run(queue, 0, model, 60);

    assertFalse(queue.hasRoom());
    ProblemException refused = assertThrows(ProblemException.class, () -> add(queue, model, 1));
    assertEquals(Duration.ofSeconds(50), refused.retryAfter());
  }

  @Test
  void shouldTakeARequestBehindABatchThatHasNearlyRun() throws Exception {
    ScheduledModel model = slowTokens();
    RunQueue queue = queue(1);
    run(queue, 0, model, 12);
    assertFalse(queue.hasRoom());

    now.set(Duration.ofMillis(11_900).toNanos());
    add(queue, model, 9);
    assertTrue(queue.hasRoom());
  }

  @Test
  void shouldExpectABatchThatRunsLongerThanItShouldToEndAtOnce() throws Exception {
    ScheduledModel model = slowTokens();
    RunQueue queue = queue(1);
    run(queue, 0, model, 12);

    now.set(Duration.ofHours(1).toNanos());
    add(queue, model, 11);
    assertFalse(queue.hasRoom());
  }

  @Test
  void shouldTakeARequestForADeviceThatIsFreeWhileAnotherIsBusyForLong() throws Exception {
    ScheduledModel model = slowTokens();
    RunQueue queue = queue(2);
    run(queue, 0, model, 60);

    assertTrue(queue.hasRoom());
    run(queue, 1, model, 60);
    assertFalse(queue.hasRoom());
  }

  @Test
  void shouldNotCountOnADeviceThatEnded() {
    ScheduledModel model = slowTokens();
    RunQueue queue = queue(2);
    add(queue, model, 16);
    assertTrue(queue.hasRoom());

    queue.deviceEnded();
    assertFalse(queue.hasRoom());
  }

  private RunQueue queue(int devices) {
    return new RunQueue(LIMITS, devices, now::get);
  }

  private static FakeLayers withRoomFor(int tokens) {
    FakeLayers layers = new FakeLayers();
    layers.bytesLeft = tokens * layers.bytesPerToken();
    return layers;
  }

  /** A batch takes a second up to the cut, nearly all of it for its layers. */
  private static ScheduledModel slowLayers(LayerStack... replicas) {
    ScheduledModel model = new ScheduledModel("fake", List.of(replicas), new Rate());
    for (int tokens : new int[] {1, 100}) {
      model.rate().add(CUT, (long) CUT * tokens, 1 + tokens * 1e-5);
    }
    return model;
  }

  /** A batch takes a second for each of its tokens up to the cut. */
  private static ScheduledModel slowTokens() {
    FakeLayers layers = new FakeLayers();
    ScheduledModel model = new ScheduledModel("fake", List.of(layers, layers), new Rate());
    model.rate().add(CUT, CUT, 1);
    return model;
  }

  private static void add(RunQueue queue, ScheduledModel model, int tokens) {
    queue.add(new QueuedRun(model, FakeLayers.tokens(1, tokens), CUT, null));
  }

  private static void run(RunQueue queue, int device, ScheduledModel model, int tokens)
      throws InterruptedException {
    add(queue, model, tokens);
    assertNotNull(queue.take(device, MAX_TOKENS));
  }
}
