package io.splitcompute.head.program;

import ai.djl.Device;
import io.splitcompute.weights.Manifest;
import java.util.List;

/**
 * The programs of one model, written from its manifest's layer description.
 *
 * <p>Shapes: {@code T} tokens of all sequences end to end, {@code B} sequences, {@code h} hidden
 * size, {@code i} the MLP's inner size.
 *
 * @param embeddings {@code (tokenIds [T] int, positionIds [T] int, tokens [v, h], positions [p,
 *     h])} to {@code [T, h]}
 * @param layer {@code (x [T, h], lengths [B] int64 on the CPU, scale [] float64 on the CPU)} and
 *     then {@link #LAYER_TENSORS}, to {@code [T, h]}
 * @param finalNorm {@code (x [T, h], weight [h], bias [h])} to {@code [T, h]}
 */
public record Programs(Program embeddings, Program layer, Program finalNorm)
    implements AutoCloseable {

  /** A layer's tensors, in the order in which its program takes them. */
  public static final List<String> LAYER_TENSORS =
      List.of(
          "attention.norm.weight",
          "attention.norm.bias",
          "attention.qkv.weight",
          "attention.qkv.bias",
          "attention.out.weight",
          "attention.out.bias",
          "mlp.norm.weight",
          "mlp.norm.bias",
          "mlp.up.weight",
          "mlp.up.bias",
          "mlp.down.weight",
          "mlp.down.bias");

  /** The tensors of the unit {@code embeddings}, likewise. */
  public static final List<String> EMBEDDINGS_TENSORS = List.of("tokens", "positions");

  /** The tensors of the unit {@code final}, likewise. */
  public static final List<String> FINAL_TENSORS = List.of("norm.weight", "norm.bias");

  /** Writes and compiles the programs of a model. */
  public static Programs compile(Manifest manifest, Device device) {
    return new Programs(
        Program.compile("Embeddings", embeddingsSource(), device),
        Program.compile("Layer", layerSource(manifest.layer()), device),
        Program.compile("FinalNorm", finalNormSource(finalNorm(manifest).epsilon()), device));
  }

  private static Manifest.LayerNorm finalNorm(Manifest manifest) {
    if (manifest.finalNorm() == null
        || manifest.embeddings().types() != null
        || manifest.embeddings().norm() != null) {
      throw new UnsupportedOperationException(
          "the head runs no encoders: " + manifest.model() + " has no final LayerNorm");
    }
    return manifest.finalNorm();
  }

  private static String embeddingsSource() {
    return """
          def forward(self: __torch__.Embeddings,
            token_ids: Tensor,
            position_ids: Tensor,
            tokens: Tensor,
            positions: Tensor) -> Tensor:
            return torch.add(torch.embedding(tokens, token_ids), torch.embedding(positions, position_ids))
        """;
  }

  private static String finalNormSource(double epsilon) {
    return """
          def forward(self: __torch__.FinalNorm,
            x: Tensor,
            weight: Tensor,
            bias: Tensor) -> Tensor:
            return torch.layer_norm(x, [torch.size(x, 1)], weight, bias, %s)
        """
        .formatted(epsilon);
  }

  /**
   * A pre-LayerNorm transformer layer. Linear algebra runs over all tokens at once, attention one
   * sequence at a time, so that nothing is padded and no sequence sees another.
   */
  private static String layerSource(Manifest.Layer layer) {
    String activation =
        switch (layer.mlp().activation()) {
          case GELU_TANH -> "torch.gelu(up, approximate=\"tanh\")";
          case GELU_ERF -> "torch.gelu(up)";
          case RELU -> "torch.relu(up)";
        };
    String causal =
        switch (layer.attention().mask()) {
          case CAUSAL -> "True";
          case BIDIRECTIONAL -> "False";
        };
    String epsilon =
        switch (layer.norm().order()) {
          case PRE -> Double.toString(layer.norm().epsilon());
          case POST -> throw new UnsupportedOperationException("the head runs no post-LayerNorm");
        };
    return """
          def forward(self: __torch__.Layer,
            x: Tensor,
            lengths: Tensor,
            scale_tensor: Tensor,
            attention_norm_weight: Tensor,
            attention_norm_bias: Tensor,
            qkv_weight: Tensor,
            qkv_bias: Tensor,
            out_weight: Tensor,
            out_bias: Tensor,
            mlp_norm_weight: Tensor,
            mlp_norm_bias: Tensor,
            up_weight: Tensor,
            up_bias: Tensor,
            down_weight: Tensor,
            down_bias: Tensor) -> Tensor:
            hidden = torch.size(x, 1)
            scale = annotate(float, torch.item(scale_tensor))
            normed = torch.layer_norm(x, [hidden], attention_norm_weight, attention_norm_bias, %1$s)
            qkv = torch.linear(normed, qkv_weight, qkv_bias)
            contexts = annotate(List[Tensor], [])
            start = 0
            for i in range(torch.size(lengths, 0)):
              length = annotate(int, torch.item(torch.select(lengths, 0, i)))
              end = torch.add(start, length)
              rows = torch.view(torch.slice(qkv, 0, start, end), [length, 3, %2$d, %3$d])
              heads = torch.unsqueeze(torch.permute(rows, [1, 2, 0, 3]), 1)
              q = torch.select(heads, 0, 0)
              k = torch.select(heads, 0, 1)
              v = torch.select(heads, 0, 2)
              context = torch.scaled_dot_product_attention(q, k, v, None, 0., %4$s, scale=scale)
              merged = torch.reshape(torch.transpose(context, 1, 2), [length, hidden])
              _0 = torch.append(contexts, merged)
              start = end
            attended = torch.add(x, torch.linear(torch.cat(contexts, 0), out_weight, out_bias))
            normed0 = torch.layer_norm(attended, [hidden], mlp_norm_weight, mlp_norm_bias, %1$s)
            up = torch.linear(normed0, up_weight, up_bias)
            active = %5$s
            return torch.add(attended, torch.linear(active, down_weight, down_bias))
        """
        .formatted(
            epsilon, layer.attention().heads(), layer.attention().headSize(), causal, activation);
  }

  @Override
  public void close() {
    embeddings.close();
    layer.close();
    finalNorm.close();
  }
}
