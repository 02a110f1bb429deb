package io.splitcompute.head.model;

import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.head.schedule.Rate;
import io.splitcompute.head.schedule.ScheduledModel;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.PublishedManifest;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** One model, loaded: its tokenizer, and its layers on every device. */
public final class Head implements AutoCloseable {

  /** Tokens of the run that makes a fresh model warm and first measures its rate. */
  private static final int WARM_UP_TOKENS = 32;

  private static final int WARM_UP_RUNS = 2;

  private final PublishedManifest published;
  private final List<Replica> replicas;
  private final ScheduledModel scheduled;
  private final @Nullable Tokenizer tokenizer;

  private Head(PublishedManifest published, List<Replica> replicas, @Nullable Tokenizer tokenizer) {
    this.published = published;
    this.replicas = List.copyOf(replicas);
    this.scheduled =
        new ScheduledModel(published.manifest().model().value(), List.copyOf(replicas), new Rate());
    this.tokenizer = tokenizer;
  }

  /**
   * Loads a model onto devices.
   *
   * @throws IOException if a shard cannot be read or is not what the manifest says
   */
  public static Head load(
      PublishedManifest published, WeightStore store, List<ComputeDevice> devices)
      throws IOException {
    Manifest manifest = published.manifest();
    List<Replica> replicas = new ArrayList<>();
    try {
      for (ComputeDevice device : devices) {
        replicas.add(Replica.load(manifest, store, device));
      }
      Manifest.Shard shard = manifest.tokenizer();
      Head head =
          new Head(
              published,
              replicas,
              shard == null ? null : Tokenizer.load(shard, store, manifest.truncateTokens()));
      head.warmUp();
      return head;
    } catch (IOException | RuntimeException failed) {
      replicas.forEach(Replica::close);
      throw failed;
    }
  }

  public Manifest manifest() {
    return published.manifest();
  }

  /** SHA-256 of the manifest that this head was loaded from. */
  public String revision() {
    return published.revision();
  }

  /** The model's tokenizer; none if its checkpoint came without one. */
  public Optional<Tokenizer> tokenizer() {
    return Optional.ofNullable(tokenizer);
  }

  /** The model as the scheduler runs it. */
  public ScheduledModel scheduled() {
    return scheduled;
  }

  /** What the weights take, on all devices together. */
  public WeightBytes weightBytes() {
    return replicas.stream()
        .map(Replica::weightBytes)
        .reduce(new WeightBytes(0, 0), WeightBytes::plus);
  }

  private void warmUp() {
    int tokens = Math.min(WARM_UP_TOKENS, manifest().maxTokens());
    TokenBatch batch =
        TokenBatch.of(
            List.of(
                IntStream.range(0, tokens).map(i -> i % manifest().vocabularySize()).toArray()));
    BitSet only = new BitSet();
    only.set(0);
    for (Replica replica : replicas) {
      for (int run = 0; run < WARM_UP_RUNS; run++) {
        long started = System.nanoTime();
        try (LayerStack.Activations activations = replica.embed(batch)) {
          for (int layer = 0; layer < manifest().layers(); layer++) {
            activations.runLayer();
          }
          activations.read(only);
        }
        if (run == WARM_UP_RUNS - 1) {
          scheduled
              .rate()
              .add((long) tokens * manifest().layers(), (System.nanoTime() - started) / 1e9);
        }
      }
    }
  }

  @Override
  public void close() {
    replicas.forEach(Replica::close);
    if (tokenizer != null) {
      tokenizer.close();
    }
  }
}
