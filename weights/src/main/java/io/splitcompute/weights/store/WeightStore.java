package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Where published models are read from. Safe for use by several threads. */
public interface WeightStore {

  /** The models that have a current manifest, by name. */
  List<ModelName> models() throws IOException;

  /**
   * A model's current manifest.
   *
   * @return empty if the model is not published
   * @throws IOException if the store cannot be read or the manifest is not valid
   */
  Optional<PublishedManifest> manifest(ModelName model) throws IOException;

  /**
   * A shard as a local file, of which length and SHA-256 were checked.
   *
   * @throws IOException if it is not there, cannot be read or is not what the manifest says
   */
  Path fetch(Manifest.Shard shard) throws IOException;
}
