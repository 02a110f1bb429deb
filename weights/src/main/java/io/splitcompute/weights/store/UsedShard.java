package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A shard of a model and what it is for.
 *
 * @param use as {@code layer.3 f16}; several where units of equal weights share the shard
 */
record UsedShard(Manifest.Shard shard, String use) {

  /** A manifest's shards, each once, in its order, the tokenizer's last. */
  static List<UsedShard> of(Manifest manifest) {
    Map<String, UsedShard> shards = new LinkedHashMap<>();
    for (Manifest.Unit unit : manifest.units()) {
      for (String dtype : manifest.dtypes()) {
        add(shards, unit.variant(dtype), unit.name() + " " + dtype);
      }
    }
    if (manifest.tokenizer() != null) {
      add(shards, manifest.tokenizer(), "tokenizer");
    }
    return List.copyOf(shards.values());
  }

  /** Bytes of all shards. */
  static long bytes(List<UsedShard> shards) {
    return shards.stream().mapToLong(used -> used.shard().bytes()).sum();
  }

  private static void add(Map<String, UsedShard> shards, Manifest.Shard shard, String use) {
    shards.merge(
        shard.sha256(),
        new UsedShard(shard, use),
        (one, other) -> new UsedShard(one.shard(), one.use() + ", " + other.use()));
  }
}
