package io.splitcompute.head;

import io.micronaut.scheduling.TaskExecutors;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.Heads;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.HeadRun;
import io.splitcompute.head.schedule.Scheduler;
import io.splitcompute.weights.Manifest;
import jakarta.inject.Named;
import jakarta.inject.Singleton;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Runs of the models, and the answers that are made of them, on threads that may block. */
@Singleton
final class HeadRuns {

  /** What cut 0 runs. */
  private static final HeadRun NOTHING = new HeadRun(new float[0], 0, 0);

  private final Heads heads;
  private final Scheduler scheduler;
  private final Executor answering;

  HeadRuns(
      Heads heads, Scheduler scheduler, @Named(TaskExecutors.BLOCKING) ExecutorService answering) {
    this.heads = heads;
    this.scheduler = scheduler;
    this.answering = answering;
  }

  /**
   * @throws ProblemException model-not-found or not-ready
   */
  Head head(String model) {
    return heads.get(model);
  }

  /**
   * Refuses a request before its body is read, or keeps its place until it waits for a device.
   *
   * @param runsNothing whether it runs no layer, and so is not refused; asked where there is no
   *     room alone
   * @param request reads, encodes and runs it
   * @throws ProblemException if the queue is full
   */
  <T> T admit(BooleanSupplier runsNothing, Supplier<T> request) {
    return !scheduler.hasRoom() && runsNothing.getAsBoolean()
        ? request.get()
        : scheduler.admit(request);
  }

  /**
   * @param cut layers to run; none for 0
   * @param pooling how hidden states become one vector, null for all of them
   * @param answer made of the run
   * @return the answer to come; cancelled, it costs no further layer
   */
  <T> CompletableFuture<T> answer(
      Head head,
      TokenBatch batch,
      int cut,
      Manifest.Pooling.@Nullable Kind pooling,
      Function<HeadRun, T> answer) {
    CompletableFuture<HeadRun> run =
        cut == 0
            ? CompletableFuture.completedFuture(NOTHING)
            : scheduler.submit(head.scheduled(), batch, cut, pooling);
    return Cancellable.then(run, answer, answering);
  }
}
