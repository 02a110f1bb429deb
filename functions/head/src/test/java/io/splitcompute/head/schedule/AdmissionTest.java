package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Who is refused, and when. */
@Timeout(30)
@SuppressWarnings("FutureReturnValueIgnored") // refusals and cancellations are what is looked at
final class AdmissionTest {

  @Test
  void shouldRefuseWithRetryAfterOnceTheWaitWouldBeTooLong() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = new FakeLayers(1000, gate::pass).model();
    model.rate().add(1, 10, 1);
    try (Scheduler scheduler =
        Schedulers.of(Schedulers.limits(16, Duration.ofSeconds(10), 1024), 1)) {
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
      gate.open();
    }
  }

  @Test
  void shouldRefuseOnceTooManyWait() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = new FakeLayers(1000, gate::pass).model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.limits(16, Duration.ofSeconds(10), 3), 1)) {
      scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
      gate.awaitRunning();
      List<CompletableFuture<HeadRun>> waiting = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        waiting.add(scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null));
      }
      assertThrows(ProblemException.class, () -> scheduler.admit(() -> true));
      assertThrows(
          ProblemException.class, () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null));
      gate.open();
      for (CompletableFuture<HeadRun> answer : waiting) {
        answer.get();
      }
      scheduler.admit(() -> true);
    }
  }

  @Test
  void shouldRefuseBeforeTokensAreMadeHoweverManyComeAtOnce() throws Exception {
    ScheduledModel model = new FakeLayers().model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.limits(16, Duration.ofSeconds(10), 2), 1)) {
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
  void shouldRefuseWhatWaitsWhenItStops() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = new FakeLayers(1000, gate::pass).model();
    Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1);
    CompletableFuture<HeadRun> running = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    gate.awaitRunning();
    CompletableFuture<HeadRun> waiting = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    CompletableFuture<Void> closing = CompletableFuture.runAsync(scheduler::close);
    assertThrows(ExecutionException.class, waiting::get);
    gate.open();
    closing.get();
    assertEquals(2, running.get().hidden()[0]);
    assertThrows(
        ProblemException.class, () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null));
  }
}
