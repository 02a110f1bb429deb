package io.splitcompute.weights.store;

import io.splitcompute.weights.ModelName;

/** The keys of a store's objects, in a bucket and in a folder alike. */
public final class StoreKeys {

  static final String MODELS = "models/";
  static final String MANIFEST = "/manifest.json";

  private StoreKeys() {}

  /** The current manifest. */
  public static String manifest(ModelName model) {
    return MODELS + model + MANIFEST;
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
