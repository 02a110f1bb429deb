package io.splitcompute.head.schedule;

import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Requests that wait for a device. Batches take from them in turns, a sequence each: so a request
 * of thousands of sequences holds up the others for no longer than the batch that is running.
 */
final class RunQueue {

  private final BatchLimits limits;
  private final LongSupplier clock;

  /** That still take batches. */
  private int devices;

  /** Models in turns, the next one first; each has its requests in turns. */
  private final Map<ScheduledModel, Deque<QueuedRun>> rings = new LinkedHashMap<>();

  private int requests;

  /** Requests that are being read: they will wait here and have their places already. */
  private int arriving;

  /** When each batch on a device should leave it, by the clock. */
  private final IdentityHashMap<Batch, Long> expectedEnds = new IdentityHashMap<>();

  private boolean companyExpected;
  private boolean closed;

  /**
   * @param devices that take batches
   * @param clock nanoseconds, as {@link System#nanoTime} counts them
   */
  RunQueue(BatchLimits limits, int devices, LongSupplier clock) {
    this.limits = limits;
    this.devices = devices;
    this.clock = clock;
  }

  /**
   * Adds a request.
   *
   * @throws ProblemException overloaded if it would wait too long, not-ready if the queue is closed
   */
  synchronized void add(QueuedRun run) {
    requireRoom(run.waitingSequences());
    rings.computeIfAbsent(run.model, model -> new ArrayDeque<>()).add(run);
    requests++;
    notifyAll();
  }

  synchronized int waitingRequests() {
    return requests;
  }

  /** Whether a request would not be refused if it were small. */
  synchronized boolean hasRoom() {
    dropUnwanted();
    return !closed && lateSeconds(1) <= 0 && requests + arriving < limits.maxRequests();
  }

  /**
   * Keeps a place for a request that is yet to be read; {@link #arrived} ends that.
   *
   * @throws ProblemException overloaded if it would be refused however small it is
   */
  synchronized void arrive() {
    requireRoom(1);
    if (requests + arriving >= limits.maxRequests()) {
      throw overloaded(0);
    }
    arriving++;
  }

  /** What {@link #arrive} kept a place for was added, or never will be. */
  synchronized void arrived() {
    arriving--;
  }

  private void requireRoom(int sequences) {
    if (closed) {
      throw stopping();
    }
    dropUnwanted();
    double late = lateSeconds(sequences);
    if (requests >= limits.maxRequests() || late > 0) {
      throw overloaded(late);
    }
  }

  /** How much longer than it may a request of so many sequences would wait. */
  private double lateSeconds(int sequences) {
    return expectedWaitSeconds(sequences) - limits.maxWait().toNanos() / 1e9;
  }

  private static ProblemException overloaded(double lateSeconds) {
    return ProblemException.later(
        ProblemType.OVERLOADED,
        "The head has more work than it can do in time; try again after Retry-After seconds",
        Duration.ofSeconds((long) Math.ceil(Math.max(1, lateSeconds))));
  }

  private static ProblemException stopping() {
    return ProblemException.later(
        ProblemType.NOT_READY, "The head takes no more requests; try again", Duration.ofSeconds(1));
  }

  /**
   * How long a request of so many sequences would wait for the others. They go in turns, a sequence
   * each, so each of them delays it by so many of its own, however long those are.
   */
  private double expectedWaitSeconds(int sequences) {
    double seconds = 0;
    for (Map.Entry<ScheduledModel, Deque<QueuedRun>> ring : rings.entrySet()) {
      long ahead = 0;
      long tokens = 0;
      long sequencesAhead = 0;
      int deepest = 0;
      for (QueuedRun run : ring.getValue()) {
        long one = run.workOf(sequences);
        ahead += one;
        tokens += one / run.cut;
        sequencesAhead += Math.min(sequences, run.waitingSequences());
        deepest = Math.max(deepest, run.cut);
      }
      long batches =
          limits.shared()
              ? Math.min(sequencesAhead, tokens / mostTokens(ring.getKey()) + 1)
              : ring.getValue().size();
      seconds += ring.getKey().rate().secondsFor(batches * deepest, ahead);
    }
    return secondsOnDevices(seconds);
  }

  /**
   * How long the devices take for work that they share, each once it is through with its batch. One
   * that runs its batch for longer than the others take for all of it has no part in it.
   */
  private double secondsOnDevices(double work) {
    long now = clock.getAsLong();
    double[] running =
        expectedEnds.values().stream().mapToDouble(end -> Math.max(0, (end - now) / 1e9)).toArray();
    double[] busy = Arrays.copyOf(running, devices);
    Arrays.sort(busy);
    double soonest = Double.POSITIVE_INFINITY;
    double seconds = work;
    for (int i = 0; i < devices; i++) {
      seconds += busy[i];
      soonest = Math.min(soonest, seconds / (i + 1));
    }
    return soonest;
  }

  /** Of a batch, on the device with the most room: one that has none must not speak for all. */
  private int mostTokens(ScheduledModel model) {
    int fit = model.replicas().stream().mapToInt(LayerStack::mostTokens).max().orElse(0);
    return Math.max(1, Math.min(limits.maxTokens(), fit));
  }

  /**
   * Waits for a batch.
   *
   * @param device that will run it, by number
   * @param maxTokens of the batch
   * @return null once the queue is closed
   */
  synchronized @Nullable Batch take(int device, int maxTokens) throws InterruptedException {
    while (true) {
      dropUnwanted();
      if (closed) {
        return null;
      }
      if (requests > 0) {
        gather(maxTokens);
        dropUnwanted();
        if (requests > 0) {
          return form(device, maxTokens);
        }
      } else {
        wait();
      }
    }
  }

  /**
   * Waits a little for company, if others were there lately: until the first that waits has waited
   * so long. Where it did while another batch ran, the device is not held up.
   */
  private void gather(int maxTokens) throws InterruptedException {
    if (!limits.shared() || !(companyExpected || requests > 1)) {
      return;
    }
    long deadline = firstArrival() + limits.gather().toNanos();
    long left = deadline - clock.getAsLong();
    while (left > 0 && !closed && waitingTokens() < maxTokens) {
      long millis = left / 1_000_000;
      wait(millis, (int) (left % 1_000_000));
      left = deadline - clock.getAsLong();
    }
  }

  private long firstArrival() {
    return rings.values().stream()
        .flatMap(Deque::stream)
        .mapToLong(run -> run.arrived)
        .min()
        .orElseThrow();
  }

  synchronized long waitingTokens() {
    return rings.values().stream()
        .flatMap(Deque::stream)
        .mapToLong(run -> run.waitingWork() / run.cut)
        .sum();
  }

  private Batch form(int device, int maxTokens) {
    Map.Entry<ScheduledModel, Deque<QueuedRun>> next = rings.entrySet().iterator().next();
    ScheduledModel model = next.getKey();
    Deque<QueuedRun> ring = next.getValue();
    companyExpected = ring.size() > 1;
    List<Batch.Sequence> sequences = new ArrayList<>();
    QueuedRun only = limits.shared() ? null : ring.element();
    int mostTokens = Math.min(maxTokens, model.replicas().get(device).mostTokens());
    int tokens = 0;
    while (!ring.isEmpty()) {
      QueuedRun run = ring.element();
      if (only != null && run != only) {
        break;
      }
      int length = run.nextLength();
      if (!sequences.isEmpty() && tokens + length > mostTokens) {
        break;
      }
      ring.remove();
      sequences.add(new Batch.Sequence(run, run.takeNext(), length));
      tokens += length;
      if (!run.hasWaiting()) {
        requests--;
      } else if (only != null) {
        ring.addFirst(run);
      } else {
        ring.add(run);
      }
    }
    rings.remove(model);
    if (!ring.isEmpty()) {
      rings.put(model, ring);
    }
    Batch batch = Batch.of(model, sequences);
    expectedEnds.put(batch, clock.getAsLong() + (long) (batch.expectedSeconds() * 1e9));
    return batch;
  }

  /** Takes back what did not run, to the front. */
  synchronized void putBack(Batch batch, List<Batch.Sequence> sequences) {
    if (closed) {
      sequences.forEach(sequence -> sequence.run().answer.completeExceptionally(stopping()));
      return;
    }
    Deque<QueuedRun> ring = rings.computeIfAbsent(batch.model(), model -> new ArrayDeque<>());
    for (Batch.Sequence sequence : sequences) {
      QueuedRun run = sequence.run();
      if (!run.hasWaiting()) {
        ring.addFirst(run);
        requests++;
      }
      run.putBack(sequence.index());
    }
  }

  /** A batch left the device. */
  synchronized void done(Batch batch) {
    expectedEnds.remove(batch);
  }

  private void dropUnwanted() {
    Iterator<Deque<QueuedRun>> all = rings.values().iterator();
    while (all.hasNext()) {
      Deque<QueuedRun> ring = all.next();
      int before = ring.size();
      ring.removeIf(run -> !run.isWanted());
      requests -= before - ring.size();
      if (ring.isEmpty()) {
        all.remove();
      }
    }
  }

  /** A device takes no more batches; after the last one, nothing is kept waiting for them. */
  synchronized void deviceEnded() {
    devices--;
    if (devices == 0) {
      close();
    }
  }

  /** Refuses what waits and what comes. */
  synchronized void close() {
    closed = true;
    for (Deque<QueuedRun> ring : rings.values()) {
      for (QueuedRun run : ring) {
        run.answer.completeExceptionally(stopping());
      }
    }
    rings.clear();
    requests = 0;
    notifyAll();
  }
}
