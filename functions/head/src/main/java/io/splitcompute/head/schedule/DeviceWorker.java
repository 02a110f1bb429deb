package io.splitcompute.head.schedule;

import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.weights.Manifest;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;
import org.slf4j.spi.LoggingEventBuilder;

/** Drives one device: takes a batch, runs it layer by layer, lets each request leave at its cut. */
final class DeviceWorker implements Runnable {

  private static final Logger LOG = LoggerFactory.getLogger(DeviceWorker.class);

  /** Batches without a lack of memory after which a larger one is tried again. */
  private static final int PATIENCE = 64;

  private final RunQueue queue;
  private final int device;
  private final int mostTokens;
  private final ScheduleMetrics metrics;

  private int maxTokens;
  private int untroubled;

  DeviceWorker(RunQueue queue, int device, int mostTokens, ScheduleMetrics metrics) {
    this.queue = queue;
    this.device = device;
    this.mostTokens = mostTokens;
    this.maxTokens = mostTokens;
    this.metrics = metrics;
  }

  @Override
  public void run() {
    try {
      drive();
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    } catch (RuntimeException | Error failed) {
      LOG.error("The thread of device {} ended; the head is not healthy any more", device, failed);
      throw failed;
    }
  }

  /** Runs batches until the queue is closed. */
  private void drive() throws InterruptedException {
    try {
      for (Batch batch = take(); batch != null; batch = take()) {
        try {
          run(batch, false);
        } finally {
          queue.done(batch);
        }
      }
    } finally {
      // Before its failure is logged, which may fail as well.
      queue.deviceEnded();
    }
  }

  private @Nullable Batch take() throws InterruptedException {
    return queue.take(device, maxTokens);
  }

  /**
   * @param again whether it is one input that did not fit the first time
   */
  private void run(Batch batch, boolean again) {
    Course course = new Course(batch, batch.model().replicas().get(device));
    try {
      for (Batch.Sequence sequence : batch.sequences()) {
        QueuedRun run = sequence.run();
        if (run.started(course.started)) {
          metrics.started(run, course.started - run.arrived);
        }
      }
      try {
        course.run();
        grow();
      } catch (DeviceMemoryException tooLarge) {
        recover(course, again, tooLarge);
      }
    } catch (RuntimeException | Error failed) {
      // First, for where memory is short the log fails too, and nobody would answer them.
      course.present.forEach(sequence -> sequence.run().answer.completeExceptionally(failed));
      log(Level.ERROR, course.present)
          .setCause(failed)
          .log("A batch of {} failed", batch.model().name());
    }
  }

  private void recover(Course course, boolean again, DeviceMemoryException tooLarge) {
    Batch batch = course.batch;
    untroubled = 0;
    metrics.outOfMemory(batch);
    course.stack.releaseMemory();
    if (batch.sequences().size() > 1) {
      shrink(batch, course.present);
    } else if (again) {
      fail(batch, course.present, tooLarge);
    } else {
      log(Level.WARN, course.present)
          .log("Out of memory at one input of {} tokens, trying again", batch.tokenCount());
      run(batch, true);
    }
  }

  private void grow() {
    untroubled++;
    if (maxTokens < mostTokens && untroubled >= PATIENCE) {
      maxTokens = Math.min(mostTokens, maxTokens * 2);
      untroubled = 0;
    }
  }

  /** Runs what is left of a batch again, in smaller ones. */
  private void shrink(Batch batch, List<Batch.Sequence> left) {
    maxTokens = Math.max(1, batch.tokenCount() / 2);
    log(Level.WARN, left)
        .log("Out of memory at {} tokens, going on with {}", batch.tokenCount(), maxTokens);
    queue.putBack(batch, left);
  }

  private static void fail(Batch batch, List<Batch.Sequence> left, DeviceMemoryException tooLarge) {
    ProblemException problem =
        ProblemException.of(
            ProblemType.INTERNAL,
            "The device has no memory for an input of so many tokens; send a shorter one");
    left.forEach(sequence -> sequence.run().answer.completeExceptionally(problem));
    log(Level.ERROR, left)
        .setCause(tooLarge)
        .log("The device has no memory for {} tokens", batch.tokenCount());
  }

  /** This thread works for many requests at once: a line names those that it is about. */
  private static LoggingEventBuilder log(Level level, List<Batch.Sequence> about) {
    String ids =
        about.stream()
            .flatMap(sequence -> sequence.run().requestId.stream())
            .distinct()
            .collect(Collectors.joining(","));
    return LOG.atLevel(level).addKeyValue("requestIds", ids);
  }

  /** A batch on its way through the layers. */
  private final class Course {

    private final Batch batch;
    private final LayerStack stack;
    private final long started = System.nanoTime();

    /** What is on the device still, in the order of its rows. */
    private List<Batch.Sequence> present;

    private int layers;
    private long work;
    private boolean measured;

    Course(Batch batch, LayerStack stack) {
      this.batch = batch;
      this.stack = stack;
      this.present = batch.sequences();
    }

    void run() {
      try (LayerStack.Activations activations = stack.embed(batch.tokens())) {
        while (!present.isEmpty()) {
          keep(activations, sequence -> sequence.run().isWanted());
          if (present.isEmpty()) {
            break;
          }
          int next = present.stream().mapToInt(Batch.Sequence::cut).min().orElseThrow();
          int ran = activations.runLayers(next - layers);
          layers += ran;
          work += ran * present.stream().mapToLong(Batch.Sequence::length).sum();
          List<Leaving> leaving = read(activations);
          if (present.stream().allMatch(sequence -> sequence.cut() == layers)) {
            measure();
          }
          leaving.forEach(this::deliver);
          keep(activations, sequence -> sequence.cut() > layers);
        }
      }
      if (!measured) {
        measure();
      }
    }

    /** Before the last answers leave: whoever looks at the meters then finds the batch in them. */
    private void measure() {
      measured = true;
      long nanos = System.nanoTime() - started;
      if (work > 0) {
        batch.model().rate().add(layers, work, nanos / 1e9);
      }
      metrics.ran(batch, batch.tokenCount() * stack.bytesPerToken(), layers, work, nanos);
    }

    /**
     * Sequences that leave.
     *
     * @param sequences of those that are there, by index
     * @param rows of them, or one row for each
     */
    private record Leaving(BitSet sequences, float[] rows) {}

    /** Reads what has reached its cut, those together that are pooled alike. */
    private List<Leaving> read(LayerStack.Activations activations) {
      Set<Optional<Manifest.Pooling.Kind>> poolings = new LinkedHashSet<>();
      for (Batch.Sequence sequence : present) {
        if (sequence.cut() == layers) {
          poolings.add(Optional.ofNullable(sequence.run().pooling));
        }
      }
      List<Leaving> all = new ArrayList<>();
      for (Optional<Manifest.Pooling.Kind> pooling : poolings) {
        Manifest.Pooling.@Nullable Kind kind = pooling.orElse(null);
        BitSet leaving =
            matching(sequence -> sequence.cut() == layers && sequence.run().pooling == kind);
        all.add(new Leaving(leaving, activations.read(leaving, kind)));
      }
      return all;
    }

    private void deliver(Leaving one) {
      BitSet leaving = one.sequences();
      float[] rows = one.rows();
      double nanosOfWork = (double) (System.nanoTime() - started) / work;
      int count =
          leaving.stream().map(i -> present.get(i).run().rows(present.get(i).index())).sum();
      int hiddenSize = rows.length / count;
      int row = 0;
      for (int i = leaving.nextSetBit(0); i >= 0; i = leaving.nextSetBit(i + 1)) {
        Batch.Sequence sequence = present.get(i);
        double nanos = nanosOfWork * sequence.length() * layers;
        sequence.run().finished(sequence.index(), rows, row * hiddenSize, hiddenSize, nanos);
        row += sequence.run().rows(sequence.index());
      }
    }

    private void keep(LayerStack.Activations activations, Predicate<Batch.Sequence> staying) {
      BitSet kept = matching(staying);
      if (kept.cardinality() == present.size()) {
        return;
      }
      List<Batch.Sequence> left = new ArrayList<>();
      kept.stream().forEach(i -> left.add(present.get(i)));
      present = left;
      if (!left.isEmpty()) {
        activations.keep(kept);
      }
    }

    private BitSet matching(Predicate<Batch.Sequence> condition) {
      BitSet matching = new BitSet(present.size());
      for (int i = 0; i < present.size(); i++) {
        matching.set(i, condition.test(present.get(i)));
      }
      return matching;
    }
  }
}
