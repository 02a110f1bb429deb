package io.splitcompute.head.model;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The shards that a head can need, all but {@code lm_head}, on their way from the store: those that
 * are here are put on the device while others come.
 */
final class UnitFiles implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(UnitFiles.class);
  private static final int AT_ONCE = 4;
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final String TOKENIZER = "tokenizer";

  private final ExecutorService fetching =
      Executors.newFixedThreadPool(
          AT_ONCE,
          work -> {
            Thread thread = new Thread(work, "shard-fetch");
            thread.setDaemon(true);
            return thread;
          });
  private final Map<String, Future<Path>> files = new HashMap<>();
  private final Manifest manifest;
  private long nanosWaited;

  UnitFiles(Manifest manifest, String variant, WeightStore store) {
    this.manifest = manifest;
    for (Manifest.Unit unit : manifest.units()) {
      if (!unit.name().equals(Manifest.LM_HEAD)) {
        Manifest.Shard shard = unit.variant(variant);
        files.put(unit.name(), fetching.submit(() -> store.fetch(shard)));
      }
    }
    Manifest.Shard tokenizer = manifest.tokenizer();
    if (tokenizer != null) {
      files.put(TOKENIZER, fetching.submit(() -> store.fetch(tokenizer)));
    }
  }

  /**
   * Waits for a unit's shard.
   *
   * @throws IOException if it cannot be fetched or is not what the manifest says
   */
  SafetensorsFile unit(String name) throws IOException {
    Future<Path> file = files.get(name);
    if (file == null) {
      throw new IOException("the manifest has no unit " + name);
    }
    try {
      return SafetensorsFile.open(await(file, name));
    } catch (ExecutionException failed) {
      if (failed.getCause() instanceof IOException broken) {
        throw broken;
      }
      throw new IOException("the unit " + name + " cannot be fetched", failed);
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
      throw new IOException("stopped while the unit " + name + " was fetched", stopped);
    }
  }

  /** Tells of a store that is slow: a head that is not ready says why. */
  private Path await(Future<Path> file, String name)
      throws ExecutionException, InterruptedException {
    long started = System.nanoTime();
    try {
      while (true) {
        try {
          return file.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (TimeoutException slow) {
          LOG.warn(
              "Not complete: the unit {} of {} has not come for {} s, the store is slow",
              name,
              manifest.model(),
              (System.nanoTime() - started) / 1_000_000_000);
        }
      }
    } finally {
      nanosWaited += System.nanoTime() - started;
    }
  }

  /** Seconds that were spent waiting for the store. */
  double secondsWaited() {
    return nanosWaited / 1e9;
  }

  SafetensorsFile tokenizer() throws IOException {
    return unit(TOKENIZER);
  }

  @Override
  public void close() {
    fetching.shutdownNow();
  }
}
