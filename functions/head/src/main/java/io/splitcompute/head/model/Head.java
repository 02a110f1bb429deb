package io.splitcompute.head.model;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.head.schedule.Rate;
import io.splitcompute.head.schedule.ScheduledModel;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.PublishedManifest;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** One model, loaded: its tokenizer, and its layers on every device. */
public final class Head implements AutoCloseable {

  /** Tokens of the runs that make a fresh model warm; the last two first measure its rate. */
  private static final int[] WARM_UP_TOKENS = {8, 8, 64};

  private final PublishedManifest published;
  private final List<Replica> replicas;
  private final ScheduledModel scheduled;
  private final @Nullable Tokenizer tokenizer;

  /** Seconds of each phase of the start. */
  private final Map<String, Double> phases;

  private Head(
      PublishedManifest published,
      List<Replica> replicas,
      @Nullable Tokenizer tokenizer,
      Map<String, Double> phases) {
    this.published = published;
    this.replicas = List.copyOf(replicas);
    this.scheduled =
        new ScheduledModel(published.manifest().model().value(), List.copyOf(replicas), new Rate());
    this.tokenizer = tokenizer;
    this.phases = phases;
  }

  /**
   * Loads a model onto devices.
   *
   * @throws IOException if a shard cannot be read or is not what the manifest says
   */
  public static Head load(
      PublishedManifest published, WeightStore store, List<ComputeDevice> devices)
      throws IOException {
    long started = System.nanoTime();
    Manifest manifest = published.manifest();
    List<Replica> replicas = new ArrayList<>();
    Tokenizer tokenizer = null;
    try (UnitFiles files = new UnitFiles(manifest, variant(manifest), store)) {
      // First: one that is none shows before the devices are filled, each time it is tried.
      if (manifest.tokenizer() != null) {
        tokenizer = Tokenizer.load(files.tokenizer(), manifest.truncateTokens());
      }
      for (ComputeDevice device : devices) {
        replicas.add(Replica.load(manifest, files, device));
      }
      double weights = (System.nanoTime() - started) / 1e9;
      Map<String, Double> phases = new LinkedHashMap<>();
      phases.put("weights", weights);
      Head head = new Head(published, replicas, tokenizer, phases);
      head.warmUp();
      phases.put("warm", (System.nanoTime() - started) / 1e9 - weights);
      return head;
    } catch (IOException | RuntimeException failed) {
      replicas.forEach(Replica::close);
      if (tokenizer != null) {
        tokenizer.close();
      }
      throw failed;
    }
  }

  /** The exact one where the model has it. */
  private static String variant(Manifest manifest) throws IOException {
    return Stream.of("f32", "f16")
        .filter(manifest.dtypes()::contains)
        .findFirst()
        .orElseThrow(
            () ->
                new IOException(
                    "the model %s is published in %s; the head runs f32 or f16, publish one of them too"
                        .formatted(manifest.model(), manifest.dtypes())));
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

  /** Adds gauges of the weights' bytes and of what the start took. */
  void measureInto(MeterRegistry registry) {
    WeightBytes bytes = weightBytes();
    Tags model = Tags.of("model", scheduled.name());
    registry.gauge("splitcompute.weights.bytes", model.and("kind", "mapped"), bytes.mapped());
    registry.gauge("splitcompute.weights.bytes", model.and("kind", "allocated"), bytes.allocated());
    // Weights, and activations while a batch runs: a number that grows is a leak.
    registry.gauge(
        "splitcompute.device.arrays",
        model,
        replicas,
        all -> all.stream().mapToInt(Replica::arrays).sum());
    phases.forEach(
        (phase, seconds) ->
            registry.gauge("splitcompute.start.seconds", model.and("phase", phase), seconds));
  }

  /** What the weights take, on all devices together. */
  public WeightBytes weightBytes() {
    return replicas.stream()
        .map(Replica::weightBytes)
        .reduce(new WeightBytes(0, 0), WeightBytes::plus);
  }

  private void warmUp() {
    BitSet only = new BitSet();
    only.set(0);
    for (Replica replica : replicas) {
      for (int run = 0; run < WARM_UP_TOKENS.length; run++) {
        int tokens = Math.min(WARM_UP_TOKENS[run], manifest().maxTokens());
        int[] ids = IntStream.range(0, tokens).map(i -> i % manifest().vocabularySize()).toArray();
        long started = System.nanoTime();
        try (LayerStack.Activations activations = replica.embed(TokenBatch.of(List.of(ids)))) {
          for (int layer = 0; layer < manifest().layers(); layer++) {
            activations.runLayer();
          }
          activations.read(only, null);
        }
        if (run > 0) {
          double seconds = (System.nanoTime() - started) / 1e9;
          scheduled.rate().add(manifest().layers(), (long) tokens * manifest().layers(), seconds);
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
