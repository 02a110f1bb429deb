package io.splitcompute.head.model;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micronaut.context.annotation.Context;
import io.micronaut.context.annotation.Property;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.api.RequestedModel;
import io.splitcompute.head.schedule.Scheduler;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.PublishedManifest;
import io.splitcompute.weights.store.WeightStore;
import jakarta.annotation.PreDestroy;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.spi.LoggingEventBuilder;

/**
 * The models that this container serves: those named by {@code splitcompute.models}, or all that
 * are published. They load in the background from the start on; until each was tried, and one of
 * them is there, the container is not ready. One that cannot be loaded is tried again, for ever,
 * and where no names are given one that is published later is found. A store without a model keeps
 * no container from being ready, for whoever sets one up publishes behind that.
 */
@Context
public final class Heads {

  private static final Logger LOG = LoggerFactory.getLogger(Heads.class);
  private static final Duration SHORTEST_PAUSE = Duration.ofSeconds(1);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(30);
  private static final Duration STOPPING = Duration.ofSeconds(2);

  private final WeightStore store;
  private final Devices devices;
  private final Scheduler scheduler;
  private final MeterRegistry registry;
  private final List<String> names;
  private final Map<ModelName, Head> heads = new ConcurrentHashMap<>();
  private final ExecutorService loader =
      Executors.newSingleThreadExecutor(
          work -> {
            Thread thread = new Thread(work, "head-loader");
            thread.setDaemon(true);
            return thread;
          });
  private final Duration patience;
  private final Duration lookAgain;
  private final CountDownLatch loaded = new CountDownLatch(1);
  private volatile Optional<String> failure = Optional.empty();

  /** The models that could not be loaded when they were last tried; absent until they all were. */
  private volatile Optional<Set<ModelName>> missing = Optional.empty();

  Heads(
      WeightStore store,
      Devices devices,
      Scheduler scheduler,
      MeterRegistry registry,
      @Property(name = "splitcompute.models", defaultValue = "") List<String> names,
      @Property(name = "splitcompute.wait-for-models", defaultValue = "0s") Duration patience,
      @Property(name = "splitcompute.look-again", defaultValue = "1m") Duration lookAgain) {
    this.store = store;
    this.devices = devices;
    this.scheduler = scheduler;
    this.registry = registry;
    // An absent list comes as one blank name.
    this.names = names.stream().filter(name -> !name.isBlank()).toList();
    this.patience = patience;
    this.lookAgain = lookAgain;
    loader.execute(this::loadAll);
  }

  /** Whether all models are loaded. */
  public boolean complete() {
    return loaded.getCount() == 0;
  }

  /** Whether there are models to answer with: all of them, or all but those that do not load. */
  public boolean ready() {
    return complete() || (missing.isPresent() && !heads.isEmpty());
  }

  /** Why the last attempt to load a model failed, as long as it has not been made good. */
  public Optional<String> failure() {
    return failure;
  }

  /**
   * @throws ProblemException model-not-found, or not-ready if the model may still be loading when
   *     {@code splitcompute.wait-for-models} is over: on Lambda, whose first request comes with the
   *     start
   */
  public Head get(String name) {
    ModelName model = RequestedModel.named(name);
    if (!heads.containsKey(model) && mayCome(model)) {
      awaitLoaded();
    }
    // First: what is not missing any more is there.
    boolean mayCome = mayCome(model);
    Head head = heads.get(model);
    if (head != null) {
      return head;
    }
    if (!mayCome) {
      throw RequestedModel.notFound();
    }
    throw ProblemException.later(
        ProblemType.NOT_READY,
        "The head is still loading its models; try again after Retry-After seconds",
        Duration.ofSeconds(1));
  }

  private boolean mayCome(ModelName model) {
    return missing.map(names -> names.contains(model)).orElse(true);
  }

  private void awaitLoaded() {
    try {
      loaded.await(patience.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
  }

  private void loadAll() {
    double booted = secondsSinceTheProcessStarted();
    gauge("splitcompute.boot.seconds", "From the process's start to that of loading", booted);
    boolean told = false;
    Duration pause = SHORTEST_PAUSE;
    while (!Thread.currentThread().isInterrupted()) {
      loadMissing(pause);
      boolean whole = missing.filter(Set::isEmpty).isPresent();
      if (whole) {
        failure = Optional.empty();
        loaded.countDown();
      }
      if (whole && !heads.isEmpty()) {
        if (!told) {
          tellReady(booted);
          told = true;
        }
        if (!names.isEmpty()) {
          return;
        }
        sleep(lookAgain);
        pause = SHORTEST_PAUSE;
      } else {
        if (whole) {
          LOG.warn("The store has no model; looking again in {} s", pause.toSeconds());
        }
        sleep(pause);
        Duration twice = pause.multipliedBy(2);
        pause = twice.compareTo(LONGEST_PAUSE) < 0 ? twice : LONGEST_PAUSE;
      }
    }
  }

  private void tellReady(double booted) {
    double ready = secondsSinceTheProcessStarted();
    gauge("splitcompute.ready.seconds", "From the process's start to its readiness", ready);
    LOG.atInfo().addKeyValue("bootSeconds", booted).addKeyValue("readySeconds", ready).log("Ready");
  }

  /** Loads each model that is not loaded yet: one that fails does not keep the others. */
  private void loadMissing(Duration pause) {
    try {
      Set<ModelName> stillMissing = new HashSet<>();
      for (ModelName model : models()) {
        if (!heads.containsKey(model) && !loaded(model, pause)) {
          stillMissing.add(model);
        }
      }
      missing = Optional.of(Set.copyOf(stillMissing));
    } catch (IOException | RuntimeException | Error failed) {
      failed(failed, "the models cannot be listed", pause);
    }
  }

  private boolean loaded(ModelName model, Duration pause) {
    try {
      heads.put(model, load(model));
      return true;
    } catch (IOException | RuntimeException | Error failed) {
      failed(failed, "the model " + model + " cannot be loaded", pause);
      return false;
    }
  }

  private void failed(Throwable cause, String what, Duration pause) {
    String reason = what + ": " + cause.getMessage();
    failure = Optional.of(reason);
    if (cause instanceof IOException) {
      LOG.error("Not complete, trying again in {} s: {}", pause.toSeconds(), reason);
    } else {
      LOG.error("Not complete, trying again in {} s: {}", pause.toSeconds(), reason, cause);
    }
  }

  private List<ModelName> models() throws IOException {
    return names.isEmpty() ? store.models() : names.stream().map(ModelName::new).toList();
  }

  private Head load(ModelName model) throws IOException {
    PublishedManifest published =
        store
            .manifest(model)
            .orElseThrow(() -> new IOException("the model " + model + " is not published"));
    long started = System.nanoTime();
    Head head = Head.load(published, store, devices.list());
    head.measureInto(registry);
    LoggingEventBuilder log = LOG.atInfo();
    for (Map.Entry<String, Double> phase : head.phases().entrySet()) {
      log = log.addKeyValue(phase.getKey() + "Seconds", phase.getValue());
    }
    log.log(
        "Loaded {} revision {} in {} ms",
        model,
        published.revision(),
        (System.nanoTime() - started) / 1_000_000);
    return head;
  }

  private void gauge(String name, String description, double value) {
    // Of this object, which the registry does not keep: a number alone would be collected.
    Gauge.builder(name, this, heads -> value).description(description).register(registry);
  }

  private static double secondsSinceTheProcessStarted() {
    return ProcessHandle.current()
        .info()
        .startInstant()
        .map(start -> Duration.between(start, Instant.now()).toMillis() / 1e3)
        .orElse(Double.NaN);
  }

  private static void sleep(Duration pause) {
    try {
      Thread.sleep(pause.toMillis());
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
  }

  @PreDestroy
  void close() {
    loader.shutdownNow();
    try {
      // What it is loading would be closed by nobody.
      loader.awaitTermination(STOPPING.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
    // First: what is running uses the weights.
    scheduler.close();
    heads.values().forEach(Head::close);
  }
}
