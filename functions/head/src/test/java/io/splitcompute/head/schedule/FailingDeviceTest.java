package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import ch.qos.logback.core.read.ListAppender;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/** A device that is out of memory or fails: what is answered all the same. */
@Timeout(30)
@SuppressWarnings("FutureReturnValueIgnored") // refusals and cancellations are what is looked at
final class FailingDeviceTest {

  private static final Logger LOG = (Logger) LoggerFactory.getLogger(DeviceWorker.class);

  @Test
  void shouldGoOnInSmallerBatchesWhenTheDeviceIsOutOfMemory() throws Exception {
    FakeLayers layers = new FakeLayers(5, layer -> {});
    ScheduledModel model = layers.model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
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
    ScheduledModel model = new FakeLayers(5, layer -> {}).model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      CompletableFuture<HeadRun> large = scheduler.submit(model, FakeLayers.tokens(1, 6), 2, null);
      CompletableFuture<HeadRun> small = scheduler.submit(model, FakeLayers.tokens(1, 5), 2, null);

      ExecutionException failed = assertThrows(ExecutionException.class, large::get);
      assertInstanceOf(ProblemException.class, failed.getCause());
      assertEquals(3, small.get().hidden()[0]);
    }
  }

  @Test
  void shouldTryOneInputOnceMoreWithAllMemoryGivenBack() throws Exception {
    AtomicInteger attempts = new AtomicInteger();
    FakeLayers layers =
        new FakeLayers(
            1000,
            layer -> {
              if (attempts.getAndIncrement() == 0) {
                throw new DeviceMemoryException(new IllegalStateException("full for a moment"));
              }
            });
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      assertArrayEquals(
          new float[] {3, 3, 3},
          scheduler.submit(layers.model(), FakeLayers.tokens(1, 3), 2, null).get().hidden());
    }
    assertEquals(2, layers.batches.size());
    assertEquals(1, layers.releases.get());
  }

  @Test
  void shouldTryAnInputThatFitsInNoBatchTwiceAndNotForEver() throws Exception {
    FakeLayers layers = new FakeLayers(5, layer -> {});
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      assertThrows(
          ExecutionException.class,
          scheduler.submit(layers.model(), FakeLayers.tokens(1, 6), 2, null)::get);
    }
    assertEquals(2, layers.batches.size());
  }

  @Test
  void shouldRefuseWhatIsLeftOfABatchThatDoesNotFitWhenItStops() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = new FakeLayers(5, gate::pass).model();
    Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1);
    CompletableFuture<HeadRun> running =
        scheduler.submit(model, FakeLayers.tokens(1, 4, 4), 1, null);
    gate.awaitRunning();
    CompletableFuture<HeadRun> waiting = scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    CompletableFuture<Void> closing = CompletableFuture.runAsync(scheduler::close);
    assertThrows(ExecutionException.class, waiting::get);
    gate.open();
    closing.get();
    assertThrows(ExecutionException.class, () -> running.get(1, TimeUnit.SECONDS));
  }

  @Test
  void shouldFailABatchAndServeTheNextWhenTheDeviceFails() throws Exception {
    ScheduledModel model = failingOnce().model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      assertThrows(
          ExecutionException.class,
          () -> scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null).get());
      assertEquals(2, scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null).get().hidden()[0]);
    }
  }

  @Test
  void shouldLogWhichRequestsABatchWasOf() throws Exception {
    ListAppender<ILoggingEvent> log = new ListAppender<>();
    log.start();
    LOG.addAppender(log);
    Gate gate = new Gate();
    ScheduledModel model = failingBehind(gate).model();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      submit("first", scheduler, model);
      gate.awaitRunning();
      submit("second", scheduler, model);
      CompletableFuture<HeadRun> last = submit("third", scheduler, model);
      gate.open();
      assertThrows(ExecutionException.class, last::get);
    } finally {
      LOG.detachAppender(log);
    }
    assertEquals(
        List.of("first", "second,third"),
        log.list.stream().map(event -> event.getKeyValuePairs().get(0).value).toList());
  }

  @Test
  void shouldAnswerAndRefuseAtOnceWhenTheLastDevicesThreadEnds() throws Exception {
    Gate gate = new Gate();
    ScheduledModel model = failingBehind(gate).model();
    AppenderBase<ILoggingEvent> log = failingLog();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 1)) {
      CompletableFuture<HeadRun> running = submit("first", scheduler, model);
      gate.awaitRunning();
      CompletableFuture<HeadRun> waiting = submit("second", scheduler, model);
      gate.open();

      assertInstanceOf(
          IllegalStateException.class,
          assertThrows(ExecutionException.class, running::get).getCause());
      assertNotReady(assertThrows(ExecutionException.class, waiting::get).getCause());
      assertNotReady(assertThrows(ProblemException.class, () -> submit("third", scheduler, model)));
      assertFalse(scheduler.hasRoom());
    } finally {
      LOG.detachAppender(log);
    }
  }

  @Test
  void shouldServeOnWithTheDeviceThatIsLeft() throws Exception {
    FakeLayers layers = failingOnce();
    ScheduledModel model = new ScheduledModel("fake", List.of(layers, layers), new Rate());
    AppenderBase<ILoggingEvent> log = failingLog();
    try (Scheduler scheduler = Schedulers.of(Schedulers.LIMITS, 2)) {
      assertThrows(ExecutionException.class, submit("first", scheduler, model)::get);

      for (int i = 0; i < 10; i++) {
        assertEquals(2, submit("next", scheduler, model).get().hidden()[0]);
      }
    } finally {
      LOG.detachAppender(log);
    }
  }

  private static FakeLayers failingOnce() {
    AtomicInteger failures = new AtomicInteger(1);
    return new FakeLayers(
        1000,
        layer -> {
          if (failures.getAndDecrement() > 0) {
            throw new IllegalStateException("broken");
          }
        });
  }

  private static FakeLayers failingBehind(Gate gate) {
    return new FakeLayers(
        1000,
        layer -> {
          gate.pass(layer);
          throw new IllegalStateException("broken");
        });
  }

  private static void assertNotReady(@Nullable Throwable refused) {
    assertEquals(ProblemType.NOT_READY, assertInstanceOf(ProblemException.class, refused).type());
  }

  /** Where the log cannot be written, a device's thread ends once it has something to say. */
  private static AppenderBase<ILoggingEvent> failingLog() {
    AppenderBase<ILoggingEvent> log =
        new AppenderBase<>() {
          @Override
          protected void append(ILoggingEvent event) {
            throw new OutOfMemoryError("no memory for a line");
          }
        };
    log.start();
    LOG.addAppender(log);
    return log;
  }

  private static CompletableFuture<HeadRun> submit(
      String requestId, Scheduler scheduler, ScheduledModel model) {
    MDC.put("requestId", requestId);
    try {
      return scheduler.submit(model, FakeLayers.tokens(1, 1), 1, null);
    } finally {
      MDC.clear();
    }
  }
}
