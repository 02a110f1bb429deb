package io.splitcompute.doctor;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.canary.Reference;
import io.splitcompute.weights.canary.ShardWeights;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Tails, run as a page's device runs them, from the shards that it loads, by the reference in f64
 * that the canaries' answers come from. Each shard is loaded once and let go again.
 */
final class ReferenceTails {

  private final Manifest manifest;
  private final ShardDownload download;
  private final String dtype;
  private final Reference reference;

  ReferenceTails(Manifest manifest, ShardDownload download) {
    this.manifest = manifest;
    this.download = download;
    // What a page asks for by default. A head runs one of the two, so one of them is there.
    this.dtype = manifest.dtypes().contains("f16") ? "f16" : "f32";
    this.reference = new Reference(manifest);
  }

  /** The shards' dtype. */
  String dtype() {
    return dtype;
  }

  /** Bytes of all shards that the tail behind cut 0 takes. */
  long bytes() {
    return shards().mapToLong(Manifest.Shard::bytes).sum();
  }

  /** Bytes of the largest of them; one at a time is held. */
  long largestShardBytes() {
    return shards().mapToLong(Manifest.Shard::bytes).max().orElseThrow();
  }

  private Stream<Manifest.Shard> shards() {
    return manifest.units().stream()
        .filter(unit -> !unit.name().equals(Manifest.LM_HEAD))
        .map(unit -> unit.variant(dtype));
  }

  /**
   * Runs what is left of a sequence from cut 0 and from others.
   *
   * @param tokens of the sequence, what cut 0 starts from
   * @param hidden by other cuts what a head answers there, {@code [tokens][hiddenSize]}
   * @return by all these cuts the output of the last layer, {@code [tokens][hiddenSize]}
   */
  Map<Integer, double[][]> run(List<Integer> tokens, Map<Integer, double[][]> hidden)
      throws IOException, InterruptedException {
    Map<Integer, double[][]> states = new TreeMap<>(hidden);
    int[] ids = tokens.stream().mapToInt(Integer::intValue).toArray();
    states.put(0, reference.embed(weights(Manifest.EMBEDDINGS), ids));
    for (int layer = 0; layer < manifest.layers(); layer++) {
      ShardWeights weights = weights(Manifest.layerUnit(layer));
      for (Map.Entry<Integer, double[][]> state : states.entrySet()) {
        if (state.getKey() <= layer) {
          state.setValue(reference.layer(weights, layer, state.getValue()));
        }
      }
    }
    if (manifest.finalNorm() != null) {
      ShardWeights weights = weights(Manifest.FINAL);
      for (Map.Entry<Integer, double[][]> state : states.entrySet()) {
        state.setValue(reference.finalNorm(weights, state.getValue()));
      }
    }
    return states;
  }

  private ShardWeights weights(String unit) throws IOException, InterruptedException {
    byte[] shard = download.fetch(manifest.unit(unit).variant(dtype));
    return new ShardWeights(SafetensorsFile.parse(ByteBuffer.wrap(shard)));
  }
}
