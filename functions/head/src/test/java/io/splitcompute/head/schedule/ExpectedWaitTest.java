package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.splitcompute.api.ProblemException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * A request is refused by how long it would wait in truth: requests go in turns, a sequence each,
 * and a sequence is never divided. The device is held up, and does ten token-layers a second.
 */
@Timeout(30)
@SuppressWarnings("FutureReturnValueIgnored") // who gets in is what is looked at
final class ExpectedWaitTest {

  private static final int CUT = 10;

  private final CountDownLatch running = new CountDownLatch(1);
  private final CountDownLatch open = new CountDownLatch(1);
  private final ScheduledModel model =
      new ScheduledModel("fake", List.of(new FakeLayers(1000, this::holdUp)), new Rate());
  private final Scheduler scheduler =
      new Scheduler(
          new BatchLimits(16, Duration.ofMillis(3), Duration.ofSeconds(10), 1024, true),
          1,
          new SimpleMeterRegistry());

  private void holdUp(int layer) {
    running.countDown();
    try {
      open.await();
    } catch (InterruptedException stopped) {
      throw new IllegalStateException(stopped);
    }
  }

  @BeforeEach
  void holdUpTheDevice() throws Exception {
    model.rate().add(1, 10, 1);
    submit(1);
    running.await(20, TimeUnit.SECONDS);
  }

  @AfterEach
  void letGo() {
    open.countDown();
    scheduler.close();
  }

  @Test
  void shouldRefuseASmallRequestBehindSequencesThatAreLong() {
    submit(8);
    submit(4);

    // 12 seconds of others' sequences, however little it brings itself.
    assertThrows(ProblemException.class, () -> submit(1));
    assertThrows(ProblemException.class, () -> scheduler.admit(() -> "worked"));
  }

  @Test
  void shouldTakeASmallRequestBehindALargeOneOfManySequences() {
    submit(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);

    submit(1);
    assertEquals("worked", scheduler.admit(() -> "worked"));
  }

  @Test
  void shouldCountATurnOfTheOthersForEachSequence() {
    submit(4, 4, 4, 4);

    submit(1, 1);
    assertThrows(ProblemException.class, () -> submit(1, 1, 1));
  }

  private void submit(int... lengths) {
    scheduler.submit(model, FakeLayers.tokens(1, lengths), CUT, null);
  }
}
