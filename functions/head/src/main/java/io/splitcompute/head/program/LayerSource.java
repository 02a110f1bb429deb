package io.splitcompute.head.program;

import io.splitcompute.weights.Manifest;

/** Writes the body of a layer's program from the manifest's description of it. */
final class LayerSource {

  private final Manifest.Layer layer;
  private final Precision precision;
  private final Linear linear;
  private final Attention attention;

  LayerSource(Manifest.Layer layer, Precision precision, Linear linear, Attention attention) {
    this.layer = layer;
    this.precision = precision;
    this.linear = linear;
    this.attention = attention;
  }

  /** From {@code x [T, h]} to the next layer's, which is {@code x} again. */
  String body() {
    return switch (layer.norm().order()) {
      case PRE ->
          set("mapped", precision.toMatrices(norm("x", "attention_norm")))
              + attend()
              + set("attended", linear.add("context", "x", "out"))
              + set("mapped0", precision.toMatrices(norm("attended", "mlp_norm")))
              + mlp("attended", "x");
      case POST ->
          set("mapped", precision.toMatrices("x"))
              + attend()
              + set("summed", linear.add("context", "x", "out"))
              + set("attended", norm("summed", "attention_norm"))
              + set("mapped0", precision.toMatrices("attended"))
              + mlp("attended", "summed0")
              + set("x", norm("summed0", "mlp_norm"));
    };
  }

  /** From {@code mapped} to {@code context}. */
  private String attend() {
    return set("qkv", linear.map("mapped", "qkv")) + attention.source(layer.attention());
  }

  /** From {@code mapped0} and a residual to a variable. */
  private String mlp(String residual, String output) {
    return set("active", linear.activate("mapped0", "up", layer.mlp().activation()))
        + set(output, linear.add("active", residual, "down"));
  }

  private String norm(String x, String weights) {
    return "torch.layer_norm(%s, [hidden], %s_weight, %<s_bias, %s)"
        .formatted(x, weights, layer.norm().epsilon());
  }

  private static String set(String variable, String expression) {
    return "    " + variable + " = " + expression + "\n";
  }
}
