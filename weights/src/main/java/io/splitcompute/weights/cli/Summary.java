package io.splitcompute.weights.cli;

import io.splitcompute.weights.Manifest;
import java.util.HashMap;
import java.util.Map;

/** A model in one line. */
final class Summary {

  private Summary() {}

  static String of(Manifest manifest, String revision) {
    return "%s: %s, %d layers, %s, %s, revision %s"
        .formatted(
            manifest.model(),
            manifest.family(),
            manifest.layers(),
            String.join(", ", manifest.dtypes()),
            Bytes.of(bytes(manifest)),
            revision);
  }

  /** What the model's shards take, each counted once. */
  private static long bytes(Manifest manifest) {
    Map<String, Long> bytes = new HashMap<>();
    for (Manifest.Unit unit : manifest.units()) {
      unit.variants().values().forEach(shard -> bytes.put(shard.sha256(), shard.bytes()));
    }
    if (manifest.tokenizer() != null) {
      bytes.put(manifest.tokenizer().sha256(), manifest.tokenizer().bytes());
    }
    return bytes.values().stream().mapToLong(Long::longValue).sum();
  }
}
