package io.splitcompute.head.schedule;

import io.micrometer.core.instrument.MeterRegistry;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Runs requests on the devices, many at once. Nobody waits in here: an answer is a future, and one
 * that is cancelled costs no further layer. Safe for use by several threads.
 */
public final class Scheduler implements AutoCloseable {

  private static final long STOPPING_MILLISECONDS = 5_000;

  private final RunQueue queue;
  private final ScheduleMetrics metrics;
  private final List<Thread> workers = new ArrayList<>();

  /**
   * @param devices how many there are; each gets a thread of its own
   * @param registry takes the meters
   */
  public Scheduler(BatchLimits limits, int devices, MeterRegistry registry) {
    queue = new RunQueue(limits, devices, System::nanoTime);
    metrics = new ScheduleMetrics(registry, queue);
    for (int device = 0; device < devices; device++) {
      Thread worker =
          new Thread(
              new DeviceWorker(queue, device, limits.maxTokens(), metrics), "device-" + device);
      worker.setDaemon(true);
      worker.start();
      workers.add(worker);
    }
  }

  /**
   * Refuses early, before a request is read; else its place is kept while it is, however many come
   * at once.
   *
   * @param work reads it, makes the tokens and submits them
   * @throws ProblemException overloaded if even the smallest request would wait too long
   */
  public <T> T admit(Supplier<T> work) {
    counted(queue::arrive);
    try {
      return work.get();
    } finally {
      queue.arrived();
    }
  }

  /** Whether a request would be admitted now. */
  public boolean hasRoom() {
    return queue.hasRoom();
  }

  /** Whether every device is still driven: a thread that ended takes nothing any more. */
  public boolean isRunning() {
    return workers.stream().allMatch(Thread::isAlive);
  }

  /**
   * Runs a request's sequences through the layers {@code [0, cut)}.
   *
   * @param cut from 1 to the model's number of layers
   * @param pooling what each sequence becomes, on the device; null for its rows as they are
   * @return completes on a device's thread: go on elsewhere
   * @throws ProblemException overloaded if it would wait too long
   */
  public CompletableFuture<HeadRun> submit(
      ScheduledModel model, TokenBatch batch, int cut, Manifest.Pooling.@Nullable Kind pooling) {
    QueuedRun run = new QueuedRun(model, batch, cut, pooling);
    counted(() -> queue.add(run));
    return run.answer;
  }

  private void counted(Runnable admission) {
    try {
      admission.run();
    } catch (ProblemException refused) {
      metrics.refused();
      throw refused;
    }
  }

  /** Refuses what waits, and returns when the devices are at rest. */
  @Override
  public void close() {
    queue.close();
    for (Thread worker : workers) {
      try {
        worker.join(STOPPING_MILLISECONDS);
      } catch (InterruptedException stopped) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
