package io.splitcompute.weights;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** What must hold in every manifest. */
final class ManifestCheck {

  private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

  /** Integers up to here are exact where the tail runs. */
  private static final long MAX_BYTES = (1L << 53) - 1;

  private static final long MAX_SEED = 0xffff_ffffL;

  private ManifestCheck() {}

  static void requireConsistent(
      int layers,
      int hiddenSize,
      int vocabularySize,
      int maxTokens,
      @Nullable Integer truncateTokens,
      Manifest.Embeddings embeddings,
      Manifest.Layer layer,
      Manifest.@Nullable LayerNorm finalNorm) {
    positive("layers", layers);
    positive("hiddenSize", hiddenSize);
    positive("vocabularySize", vocabularySize);
    positive("maxTokens", maxTokens);
    positive("embeddings.positions", embeddings.positions());
    if (embeddings.types() != null) {
      positive("embeddings.types", embeddings.types());
    }
    positive("layer.mlp.innerSize", layer.mlp().innerSize());
    Manifest.Attention attention = layer.attention();
    positive("layer.attention.heads", attention.heads());
    positive("layer.attention.headSize", attention.headSize());
    require(
        attention.headSize() <= Manifest.Attention.MOST_HEAD_SIZE,
        "layer.attention.headSize is beyond " + Manifest.Attention.MOST_HEAD_SIZE);
    require(
        (long) attention.heads() * attention.headSize() == hiddenSize,
        "layer.attention.heads times headSize is not hiddenSize");
    require(attention.scales().size() == layers, "layer.attention.scales has not one a layer");
    for (double scale : attention.scales()) {
      require(Double.isFinite(scale) && scale > 0, "layer.attention.scales must be positive");
    }
    require(maxTokens <= embeddings.positions(), "maxTokens is beyond embeddings.positions");
    epsilon("layer.norm.epsilon", layer.norm().epsilon());
    if (truncateTokens != null) {
      positive("truncateTokens", truncateTokens);
      require(truncateTokens <= maxTokens, "truncateTokens is beyond maxTokens");
    }
    if (embeddings.norm() != null) {
      epsilon("embeddings.norm.epsilon", embeddings.norm().epsilon());
    }
    if (finalNorm != null) {
      epsilon("final.norm.epsilon", finalNorm.epsilon());
    }
  }

  static void requireComplete(
      int layers, boolean finalNorm, List<String> dtypes, List<Manifest.Unit> units) {
    require(!dtypes.isEmpty(), "dtypes is empty");
    require(new HashSet<>(dtypes).size() == dtypes.size(), "dtypes names one twice");
    List<String> expected = new ArrayList<>();
    expected.add(Manifest.EMBEDDINGS);
    for (int i = 0; i < layers && i <= units.size(); i++) {
      expected.add(Manifest.layerUnit(i));
    }
    if (finalNorm) {
      expected.add(Manifest.FINAL);
    }
    List<String> names = units.stream().map(Manifest.Unit::name).toList();
    if (names.contains(Manifest.LM_HEAD)) {
      expected.add(Manifest.LM_HEAD);
    }
    require(
        names.equals(expected),
        "units must be embeddings, layer.0 to layer.%d, %s and lm_head if the model has one"
            .formatted(layers - 1, finalNorm ? "final" : "no final"));
    for (Manifest.Unit unit : units) {
      require(
          unit.variants().keySet().equals(new HashSet<>(dtypes)),
          "unit " + unit.name() + " must have the variants " + dtypes);
      unit.variants()
          .forEach((dtype, shard) -> requireShard("unit " + unit.name() + " in " + dtype, shard));
    }
  }

  static void requireShard(String what, Manifest.Shard shard) {
    require(SHA256.matcher(shard.sha256()).matches(), what + " has a sha256 that is none");
    require(shard.bytes() <= MAX_BYTES, what + " has more bytes than JavaScript can count");
    long at = 0;
    for (Manifest.Part part : shard.parts()) {
      require(SHA256.matcher(part.sha256()).matches(), what + " has a part whose sha256 is none");
      require(
          part.offset() == at && part.bytes() > 0 && part.bytes() <= shard.bytes() - at,
          what + " has parts that do not follow each other");
      at += part.bytes();
    }
    require(at == shard.bytes() && at > 0, what + " has parts that are not the whole of it");
    if (shard.canary() != null) {
      requireCanary(what, shard.canary());
    }
  }

  private static void requireCanary(String what, Manifest.Canary canary) {
    require(
        canary.seed() >= 0 && canary.seed() <= MAX_SEED,
        what + " has a canary whose seed has not 32 bits");
    require(
        Float.isFinite(canary.scale()) && canary.scale() > 0,
        what + " has a canary whose scale is not positive");
    require(
        canary.elements().size() == Manifest.Canary.ELEMENTS,
        what + " has a canary without its " + Manifest.Canary.ELEMENTS + " elements");
    require(
        Float.isFinite(canary.mean())
            && Float.isFinite(canary.norm())
            && canary.norm() >= 0
            && canary.elements().stream().allMatch(Float::isFinite),
        what + " has a canary with an answer that none can be");
  }

  private static void positive(String name, int value) {
    require(value > 0, name + " must be positive");
  }

  private static void epsilon(String name, double value) {
    require(Double.isFinite(value) && value >= 0 && value < 1, name + " must be from 0 to below 1");
  }

  private static void require(boolean holds, String what) {
    if (!holds) {
      throw new IllegalArgumentException(what);
    }
  }
}
