package io.splitcompute.head.model;

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
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The models that this container serves: those named by {@code splitcompute.models}, or all that
 * are published. They load in the background from the start on; until then the container is not
 * ready.
 */
@Context
public final class Heads {

  private static final Logger LOG = LoggerFactory.getLogger(Heads.class);
  private static final Duration RETRY_LOADING = Duration.ofSeconds(5);

  private final WeightStore store;
  private final Devices devices;
  private final Scheduler scheduler;
  private final List<String> names;
  private final Map<ModelName, Head> heads = new ConcurrentHashMap<>();
  private final ExecutorService loader =
      Executors.newSingleThreadExecutor(
          work -> {
            Thread thread = new Thread(work, "head-loader");
            thread.setDaemon(true);
            return thread;
          });
  private volatile boolean ready;

  Heads(
      WeightStore store,
      Devices devices,
      Scheduler scheduler,
      @Property(name = "splitcompute.models", defaultValue = "") List<String> names) {
    this.store = store;
    this.devices = devices;
    this.scheduler = scheduler;
    this.names = List.copyOf(names);
    loader.execute(this::loadAll);
  }

  /** Whether all models are loaded. */
  public boolean ready() {
    return ready;
  }

  /**
   * @throws ProblemException model-not-found, or not-ready while models load
   */
  public Head get(String name) {
    Head head = heads.get(RequestedModel.named(name));
    if (head != null) {
      return head;
    }
    if (!ready) {
      throw ProblemException.later(
          ProblemType.NOT_READY,
          "The head is still loading its models; try again after Retry-After seconds",
          Duration.ofSeconds(1));
    }
    throw RequestedModel.notFound();
  }

  private void loadAll() {
    while (!Thread.currentThread().isInterrupted()) {
      try {
        for (ModelName model : models()) {
          if (!heads.containsKey(model)) {
            heads.put(model, load(model));
          }
        }
        ready = true;
        return;
      } catch (IOException | RuntimeException failed) {
        LOG.error("Models cannot be loaded, trying again: {}", failed.getMessage(), failed);
        pause();
      }
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
    LOG.info(
        "Loaded {} revision {} in {} ms",
        model,
        published.revision(),
        (System.nanoTime() - started) / 1_000_000);
    return head;
  }

  private static void pause() {
    try {
      Thread.sleep(RETRY_LOADING.toMillis());
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
  }

  @PreDestroy
  void close() {
    loader.shutdownNow();
    // First: what is running uses the weights.
    scheduler.close();
    heads.values().forEach(Head::close);
  }
}
