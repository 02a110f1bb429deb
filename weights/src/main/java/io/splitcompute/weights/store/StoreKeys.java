package io.splitcompute.weights.store;

import io.splitcompute.weights.ModelName;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The keys of a store's objects, in a bucket and in a folder alike. */
public final class StoreKeys {

  private static final Logger LOG = LoggerFactory.getLogger(StoreKeys.class);

  static final String MODELS = "models/";
  static final String MANIFEST = "/manifest.json";

  private StoreKeys() {}

  /** The current manifest. */
  public static String manifest(ModelName model) {
    return MODELS + model + MANIFEST;
  }

  /**
   * The model whose current manifest has this key.
   *
   * @return empty for another object's key, and for what cannot be a model's name: it must not hide
   *     the models beside it
   */
  static Optional<ModelName> modelOfCurrentManifest(String key) {
    String[] steps = key.split("/", -1);
    if (steps.length != 3 || !key.equals(MODELS + steps[1] + MANIFEST)) {
      return Optional.empty();
    }
    try {
      return Optional.of(new ModelName(steps[1]));
    } catch (IllegalArgumentException notAName) {
      LOG.warn("The object {} is no model's: {}", key, notAName.getMessage());
      return Optional.empty();
    }
  }

  /** The manifest of a revision. */
  public static String manifest(ModelName model, String revision) {
    return MODELS + model + "/" + revision + MANIFEST;
  }

  /** A shard. */
  public static String shard(String sha256) {
    return "shards/" + sha256 + ".safetensors";
  }
}
