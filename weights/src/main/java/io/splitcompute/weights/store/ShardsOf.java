package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/** The shards of a model, each once: units of equal weights share one. */
final class ShardsOf {

  private ShardsOf() {}

  /** In the manifest's order, the tokenizer last. */
  static Collection<Manifest.Shard> manifest(Manifest manifest) {
    Map<String, Manifest.Shard> shards = new LinkedHashMap<>();
    for (Manifest.Unit unit : manifest.units()) {
      for (String dtype : manifest.dtypes()) {
        Manifest.Shard shard = unit.variant(dtype);
        shards.putIfAbsent(shard.sha256(), shard);
      }
    }
    if (manifest.tokenizer() != null) {
      shards.putIfAbsent(manifest.tokenizer().sha256(), manifest.tokenizer());
    }
    return shards.values();
  }
}
