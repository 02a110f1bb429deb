package io.splitcompute.weights.cli;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** One model or all of a store's. */
final class AskedModels {

  @Option(
      names = "--model",
      paramLabel = "NAME",
      converter = ModelNames.class,
      description = "One model (default: all).")
  private @Nullable ModelName model;

  /**
   * @param where the store, for messages
   * @throws IOException if the store has none
   */
  List<ModelName> in(WeightStore store, Object where) throws IOException {
    if (model != null) {
      return List.of(model);
    }
    List<ModelName> models = store.models();
    if (models.isEmpty()) {
      throw new IOException(where + " has no models: shard or publish one first");
    }
    return models;
  }
}
