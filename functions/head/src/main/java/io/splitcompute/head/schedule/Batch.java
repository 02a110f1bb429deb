package io.splitcompute.head.schedule;

import io.splitcompute.head.model.TokenBatch;
import java.util.Comparator;
import java.util.List;

/**
 * Sequences that run together.
 *
 * @param model whose layers run
 * @param sequences by length, so that attention takes those of one length at once
 * @param expectedSeconds of its run, by the model's rate when it was formed
 */
record Batch(ScheduledModel model, List<Sequence> sequences, double expectedSeconds) {

  /**
   * @param run the request it belongs to
   * @param index within the request
   * @param length in tokens
   */
  record Sequence(QueuedRun run, int index, int length) {

    int cut() {
      return run.cut;
    }
  }

  static Batch of(ScheduledModel model, List<Sequence> sequences) {
    int layers = sequences.stream().mapToInt(Sequence::cut).max().orElse(0);
    long work = sequences.stream().mapToLong(each -> (long) each.length() * each.cut()).sum();
    return new Batch(
        model,
        sequences.stream().sorted(Comparator.comparingInt(Sequence::length)).toList(),
        model.rate().secondsFor(layers, work));
  }

  TokenBatch tokens() {
    return TokenBatch.of(
        sequences.stream().map(sequence -> sequence.run().sequence(sequence.index())).toList());
  }

  int tokenCount() {
    return sequences.stream().mapToInt(Sequence::length).sum();
  }
}
