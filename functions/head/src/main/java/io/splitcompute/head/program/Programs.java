package io.splitcompute.head.program;

import ai.djl.Device;
import io.splitcompute.weights.Manifest;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The programs of one model, written from its manifest's description.
 *
 * <p>Shapes: {@code T} tokens of all sequences end to end, {@code B} sequences, {@code h} hidden
 * size. Each takes its unit's weights as one list, last.
 *
 * @param embeddings {@code (tokenIds [T] int, positionIds [T] int, weights)} to {@code [T, h]};
 *     weights as {@link #embeddingsTensors} names them
 * @param layers {@code (x [T, h], runs, starts [B + 1] int32, longest, scales, first, layers,
 *     weights)} to {@code [T, h]}, {@code layers} layers from {@code first} on. {@code runs} are
 *     pairs of a count and the length that so many neighbouring sequences have; {@code starts} and
 *     {@code longest} tell the same to {@link Attention#RAGGED}. Scales and weights are those of
 *     all layers one after the other. It may write over {@code x}
 * @param finalNorm {@code (x [T, h], weights)} to {@code [T, h]}; null if the model has none
 * @param rows {@code (x [T, h], rows [R] int64)} to {@code [R, h]}
 * @param means {@code (x [T, h], lengths [B] int64)} to {@code [B, h]}, the mean of each sequence's
 *     rows in f32
 */
public record Programs(
    Program embeddings, Program layers, @Nullable Program finalNorm, Program rows, Program means)
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

  /** The tensors of the unit {@code final}, likewise. */
  public static final List<String> FINAL_TENSORS = List.of("norm.weight", "norm.bias");

  /** The tensors of the unit {@code embeddings}, likewise. */
  public static List<String> embeddingsTensors(Manifest manifest) {
    List<String> tensors = new ArrayList<>(List.of("tokens", "positions"));
    if (manifest.embeddings().types() != null) {
      tensors.add("types");
    }
    if (manifest.embeddings().norm() != null) {
      tensors.addAll(List.of("norm.weight", "norm.bias"));
    }
    return List.copyOf(tensors);
  }

  /** Writes and compiles the programs of a model. */
  public static Programs compile(
      Manifest manifest, Precision precision, Linear linear, Attention attention, Device device) {
    Manifest.LayerNorm finalNorm = manifest.finalNorm();
    return new Programs(
        Program.compile("Embeddings", embeddings(manifest, precision), device),
        Program.compile(
            "Layers",
            layers(new LayerSource(manifest.layer(), precision, linear, attention)),
            device),
        finalNorm == null
            ? null
            : Program.compile("FinalNorm", finalNorm(finalNorm.epsilon()), device),
        Program.compile(
            "Rows",
            """
              def forward(self: __torch__.Rows,
                x: Tensor,
                rows: Tensor) -> Tensor:
                return torch.index_select(x, 0, rows)
            """,
            device),
        Program.compile(
            "Means",
            """
              def forward(self: __torch__.Means,
                x: Tensor,
                lengths: Tensor) -> Tensor:
                return torch.segment_reduce(torch.to(x, 6), "mean", lengths=lengths, axis=0, unsafe=True)
            """,
            device));
  }

  private static String embeddings(Manifest manifest, Precision precision) {
    StringBuilder body = new StringBuilder();
    body.append("    token = torch.embedding(tokens, token_ids)\n");
    body.append("    position = torch.embedding(positions, position_ids)\n");
    body.append(
        "    x = torch.add(%s, %s)\n"
            .formatted(precision.toResidual("token"), precision.toResidual("position")));
    if (manifest.embeddings().types() != null) {
      // Every token is of type 0.
      body.append("    x = torch.add(x, torch.select(types, 0, 0))\n");
    }
    Manifest.LayerNorm norm = manifest.embeddings().norm();
    if (norm != null) {
      body.append(
          "    x = torch.layer_norm(x, [torch.size(x, 1)], norm_weight, norm_bias, %s)\n"
              .formatted(norm.epsilon()));
    }
    body.append("    return x\n");
    return function(
        "Embeddings",
        List.of("token_ids: Tensor", "position_ids: Tensor"),
        embeddingsTensors(manifest),
        body.toString());
  }

  private static String layers(LayerSource layer) {
    return """
      def forward(self: __torch__.Layers,
        x: Tensor,
        runs: List[int],
        starts: Tensor,
        longest: int,
        scales: List[float],
        first: int,
        layers: int,
        weights: List[Tensor]) -> Tensor:
        hidden = torch.size(x, 1)
        for number in range(layers):
          layer = torch.add(first, number)
          scale = scales[layer]
          tensor = torch.mul(layer, %d)
          %s = torch.slice(weights, tensor, torch.add(tensor, %1$d))
    %s    return x
    """
        .formatted(LAYER_TENSORS.size(), names(LAYER_TENSORS), layer.body().indent(2));
  }

  private static String finalNorm(double epsilon) {
    return function(
        "FinalNorm",
        List.of("x: Tensor"),
        FINAL_TENSORS,
        "    return torch.layer_norm(x, [torch.size(x, 1)], norm_weight, norm_bias, "
            + epsilon
            + ")\n");
  }

  /** A method {@code forward} with a list of weights as its last parameter. */
  private static String function(
      String name, List<String> parameters, List<String> weights, String body) {
    StringBuilder source = new StringBuilder();
    source.append("  def forward(self: __torch__.").append(name).append(",\n");
    parameters.forEach(parameter -> source.append("    ").append(parameter).append(",\n"));
    source.append("    weights: List[Tensor]) -> Tensor:\n    ").append(names(weights));
    return source.append(" = weights\n").append(body).toString();
  }

  /** What a list of tensors is unpacked to. */
  private static String names(List<String> tensors) {
    return tensors.stream().map(Programs::identifier).collect(Collectors.joining(", ", "", ","));
  }

  /** {@code attention.qkv.weight} is {@code qkv_weight}, but for the norms. */
  private static String identifier(String tensor) {
    return tensor
        .replace("attention.norm", "attention_norm")
        .replace("mlp.norm", "mlp_norm")
        .replace("attention.", "")
        .replace("mlp.", "")
        .replace('.', '_');
  }

  @Override
  public void close() {
    embeddings.close();
    layers.close();
    if (finalNorm != null) {
      finalNorm.close();
    }
    rows.close();
    means.close();
  }
}
