package io.splitcompute.weights.shard;

import io.splitcompute.weights.Manifest;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/** What FORMAT.md says a unit holds, its values taken from the checkpoint. */
record ExpectedUnit(List<Matrix> tensors) {

  /**
   * @param values as they stand in the checkpoint
   * @param transposed whether they stand there column by column
   */
  @SuppressWarnings("ArrayRecordComponent") // a view of the checkpoint
  record Matrix(
      String name, int rows, int columns, double[] values, boolean transposed, boolean linear) {

    double at(int row, int column) {
      return values[transposed ? column * rows + row : row * columns + column];
    }

    boolean isVector() {
      return rows == 1;
    }
  }

  static ExpectedUnit of(String unit, Manifest manifest, RawCheckpoint raw, boolean tied) {
    return manifest.family().equals("bert")
        ? new ExpectedUnit(bert(unit, manifest, raw))
        : gpt2(unit, manifest, raw, tied);
  }

  private static List<Matrix> bert(String unit, Manifest manifest, RawCheckpoint raw) {
    int h = manifest.hiddenSize();
    int i = manifest.layer().mlp().innerSize();
    if (unit.equals("embeddings")) {
      String e = "embeddings.";
      return List.of(
          table("tokens", h, raw.values(e + "word_embeddings.weight")),
          table("positions", h, raw.values(e + "position_embeddings.weight")),
          table("types", h, raw.values(e + "token_type_embeddings.weight")),
          vector("norm.weight", h, raw.values(e + "LayerNorm.weight")),
          vector("norm.bias", h, raw.values(e + "LayerNorm.bias")));
    }
    String l = "encoder.layer." + unit.substring("layer.".length()) + ".";
    String a = l + "attention.output.";
    return List.of(
        vector("attention.norm.weight", h, raw.values(a + "LayerNorm.weight")),
        vector("attention.norm.bias", h, raw.values(a + "LayerNorm.bias")),
        dense("attention.qkv.weight", 3 * h, h, qkv(raw, l, ".weight")),
        vector("attention.qkv.bias", 3 * h, qkv(raw, l, ".bias")),
        dense("attention.out.weight", h, h, raw.values(a + "dense.weight")),
        vector("attention.out.bias", h, raw.values(a + "dense.bias")),
        vector("mlp.norm.weight", h, raw.values(l + "output.LayerNorm.weight")),
        vector("mlp.norm.bias", h, raw.values(l + "output.LayerNorm.bias")),
        dense("mlp.up.weight", i, h, raw.values(l + "intermediate.dense.weight")),
        vector("mlp.up.bias", i, raw.values(l + "intermediate.dense.bias")),
        dense("mlp.down.weight", h, i, raw.values(l + "output.dense.weight")),
        vector("mlp.down.bias", h, raw.values(l + "output.dense.bias")));
  }

  private static double[] qkv(RawCheckpoint raw, String layer, String what) {
    return Stream.of("query", "key", "value")
        .map(part -> raw.values(layer + "attention.self." + part + what))
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  private static Matrix table(String name, int columns, double[] values) {
    return new Matrix(name, values.length / columns, columns, values, false, false);
  }

  private static Matrix dense(String name, int out, int in, double[] values) {
    return new Matrix(name, out, in, values, false, true);
  }

  private static ExpectedUnit gpt2(
      String unit, Manifest manifest, RawCheckpoint raw, boolean tied) {
    int h = manifest.hiddenSize();
    int v = manifest.vocabularySize();
    int p = manifest.embeddings().positions();
    return new ExpectedUnit(
        switch (unit) {
          case "embeddings" ->
              List.of(
                  new Matrix("tokens", v, h, raw.values("wte.weight"), false, false),
                  new Matrix("positions", p, h, raw.values("wpe.weight"), false, false));
          case "final" ->
              List.of(
                  vector("norm.weight", h, raw.values("ln_f.weight")),
                  vector("norm.bias", h, raw.values("ln_f.bias")));
          case "lm_head" ->
              List.of(
                  new Matrix(
                      "weight",
                      v,
                      h,
                      raw.values(tied ? "wte.weight" : "lm_head.weight"),
                      false,
                      true));
          default -> layer("h." + unit.substring("layer.".length()) + ".", manifest, raw);
        });
  }

  private static List<Matrix> layer(String prefix, Manifest manifest, RawCheckpoint raw) {
    int h = manifest.hiddenSize();
    int i = manifest.layer().mlp().innerSize();
    return List.of(
        vector("attention.norm.weight", h, raw.values(prefix + "ln_1.weight")),
        vector("attention.norm.bias", h, raw.values(prefix + "ln_1.bias")),
        linear("attention.qkv.weight", 3 * h, h, raw.values(prefix + "attn.c_attn.weight")),
        vector("attention.qkv.bias", 3 * h, raw.values(prefix + "attn.c_attn.bias")),
        linear("attention.out.weight", h, h, raw.values(prefix + "attn.c_proj.weight")),
        vector("attention.out.bias", h, raw.values(prefix + "attn.c_proj.bias")),
        vector("mlp.norm.weight", h, raw.values(prefix + "ln_2.weight")),
        vector("mlp.norm.bias", h, raw.values(prefix + "ln_2.bias")),
        linear("mlp.up.weight", i, h, raw.values(prefix + "mlp.c_fc.weight")),
        vector("mlp.up.bias", i, raw.values(prefix + "mlp.c_fc.bias")),
        linear("mlp.down.weight", h, i, raw.values(prefix + "mlp.c_proj.weight")),
        vector("mlp.down.bias", h, raw.values(prefix + "mlp.c_proj.bias")));
  }

  /** Conv1D stands {@code [in, out]} in the checkpoint. */
  private static Matrix linear(String name, int out, int in, double[] values) {
    return new Matrix(name, out, in, values, true, true);
  }

  private static Matrix vector(String name, int size, double[] values) {
    return new Matrix(name, 1, size, values, false, false);
  }
}
