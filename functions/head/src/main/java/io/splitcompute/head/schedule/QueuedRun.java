package io.splitcompute.head.schedule;

import io.splitcompute.api.RequestId;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * A request from its arrival to its answer. What of it waits is guarded by the queue's lock; what
 * was run, by this object's.
 */
final class QueuedRun {

  final ScheduledModel model;
  final int cut;
  final Manifest.Pooling.@Nullable Kind pooling;

  /** Of the request that it is for, for logs. */
  final Optional<String> requestId = RequestId.ofThread();

  final CompletableFuture<HeadRun> answer = new CompletableFuture<>();
  final long arrived = System.nanoTime();

  private final TokenBatch tokens;
  private final int[] starts;

  /** Sequences that wait, by index. */
  private final Deque<Integer> waiting = new ArrayDeque<>();

  private long waitingTokens;

  private int unfinished;
  private float[] hidden = {};
  private long firstStart;
  private double runNanos;

  QueuedRun(
      ScheduledModel model, TokenBatch tokens, int cut, Manifest.Pooling.@Nullable Kind pooling) {
    this.model = model;
    this.tokens = tokens;
    this.cut = cut;
    this.pooling = pooling;
    this.unfinished = tokens.lengths().length;
    this.starts = new int[unfinished + 1];
    for (int i = 0; i < unfinished; i++) {
      starts[i + 1] = starts[i] + tokens.lengths()[i];
      waiting.add(i);
    }
    this.waitingTokens = tokens.tokens().length;
  }

  /** Whether its caller still waits. */
  boolean isWanted() {
    return !answer.isDone();
  }

  boolean hasWaiting() {
    return !waiting.isEmpty();
  }

  int nextLength() {
    return tokens.lengths()[waiting.element()];
  }

  int takeNext() {
    int sequence = waiting.remove();
    waitingTokens -= tokens.lengths()[sequence];
    return sequence;
  }

  void putBack(int sequence) {
    waiting.addFirst(sequence);
    waitingTokens += tokens.lengths()[sequence];
  }

  /** What of it waits, in token-layers. */
  long waitingWork() {
    return waitingTokens * cut;
  }

  int waitingSequences() {
    return waiting.size();
  }

  /**
   * What so many of the sequences that wait are, in token-layers: by their mean length, and never
   * less than the next one.
   */
  long workOf(int sequences) {
    if (waiting.size() <= sequences) {
      return waitingWork();
    }
    return Math.max(nextLength(), waitingTokens * sequences / waiting.size()) * cut;
  }

  int[] sequence(int index) {
    return Arrays.copyOfRange(tokens.tokens(), starts[index], starts[index + 1]);
  }

  /** Whether this is its first batch. */
  synchronized boolean started(long now) {
    if (firstStart != 0) {
      return false;
    }
    firstStart = now;
    return true;
  }

  /** Rows of a sequence's answer. */
  int rows(int sequence) {
    return row(sequence + 1) - row(sequence);
  }

  /** The first of them. */
  private int row(int sequence) {
    return pooling == null ? starts[sequence] : sequence;
  }

  /**
   * Takes a sequence's rows, and answers when it was the last.
   *
   * @param rows holds them from {@code offset} on, {@code hiddenSize} elements each
   * @param nanos of the device that the sequence cost
   */
  void finished(int sequence, float[] rows, int offset, int hiddenSize, double nanos) {
    boolean last;
    synchronized (this) {
      if (hidden.length == 0) {
        hidden = new float[row(starts.length - 1) * hiddenSize];
      }
      System.arraycopy(
          rows, offset, hidden, row(sequence) * hiddenSize, rows(sequence) * hiddenSize);
      runNanos += nanos;
      unfinished--;
      last = unfinished == 0;
    }
    if (last) {
      answer.complete(new HeadRun(hidden, (firstStart - arrived) / 1e6, runNanos / 1e6));
    }
  }
}
