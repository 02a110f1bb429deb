package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.Manifest;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a family makes of a checkpoint: all that a manifest says but for the shards, and the tensors
 * that go into them.
 *
 * @param units in the manifest's order
 */
public record ModelSource(
    String family,
    int layers,
    int hiddenSize,
    int vocabularySize,
    int maxTokens,
    Manifest.Embeddings embeddings,
    Manifest.Layer layer,
    Manifest.@Nullable LayerNorm finalNorm,
    List<SourceUnit> units) {

  /**
   * @param name of the unit
   * @param tensors in the order of the format's tables
   */
  public record SourceUnit(String name, List<SourceTensor> tensors) {}
}
