package io.splitcompute.head.model;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
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
import java.util.function.ToDoubleFunction;
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

  /** Seconds of each phase of the start: waiting for shards, placing them, the first runs. */
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
    return PassingThread.run("model-loader", () -> loadHere(published, store, devices));
  }

  private static Head loadHere(
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
      double placed = secondsSince(started);
      Map<String, Double> phases = new LinkedHashMap<>();
      phases.put("fetch", milliseconds(files.secondsWaited()));
      phases.put("place", milliseconds(placed - files.secondsWaited()));
      Head head = new Head(published, replicas, tokenizer, phases);
      head.warmUp();
      phases.put("warm", milliseconds(secondsSince(started) - placed));
      return head;
    } catch (IOException | RuntimeException | Error failed) {
      replicas.forEach(Replica::close);
      if (tokenizer != null) {
        tokenizer.close();
      }
      throw failed;
    }
  }

  private static double secondsSince(long nanos) {
    return milliseconds((System.nanoTime() - nanos) / 1e9);
  }

  /** Rounds seconds to milliseconds. */
  private static double milliseconds(double seconds) {
    return Math.round(seconds * 1e3) / 1e3;
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

  /** Seconds of each phase of the start, in their order. */
  Map<String, Double> phases() {
    return phases;
  }

  /** Adds gauges of the weights' bytes, of arrays in use and of what the start took. */
  void measureInto(MeterRegistry registry) {
    String bytes = "splitcompute.weights.bytes";
    gauge(registry, bytes, "kind", "mapped", head -> head.weightBytes().mapped());
    gauge(registry, bytes, "kind", "allocated", head -> head.weightBytes().allocated());
    gauge(
        registry,
        "splitcompute.arrays",
        "kind",
        "managed",
        head -> head.replicas.stream().mapToInt(Replica::managedArrays).sum());
    phases.forEach(
        (phase, seconds) ->
            gauge(registry, "splitcompute.start.seconds", "phase", phase, head -> seconds));
  }

  // Of this object, which the registry does not keep: a number alone would be collected.
  private void gauge(
      MeterRegistry registry, String name, String tag, String value, ToDoubleFunction<Head> of) {
    Gauge.builder(name, this, of).tag("model", scheduled.name()).tag(tag, value).register(registry);
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
          activations.run(manifest().layers());
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
