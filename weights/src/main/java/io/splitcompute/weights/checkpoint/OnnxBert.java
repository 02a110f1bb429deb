package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import io.splitcompute.weights.safetensors.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * An encoder of BERT's type, read off an ONNX graph. The exporter gives the weights of linear maps
 * names like {@code onnx::MatMul_787}, so a weight is known by where the graph uses it: the walk
 * goes from the output to the inputs and takes every operation on its way into account. What is
 * stored {@code [in, out]} for ONNX's MatMul is transposed.
 */
final class OnnxBert {

  private static final List<Long> FIRST_AXIS = List.of(0L);
  private static final List<Long> LAST_AXIS = List.of(-1L);

  private final OnnxGraph graph;

  private OnnxBert(OnnxGraph graph) {
    this.graph = graph;
  }

  private record Norm(String input, String weight, String bias, double epsilon) {}

  private record Linear(String input, String weight, String bias) {}

  /** Rows of one head each: {@code [batch, heads, tokens, headSize]}, or so transposed. */
  private record Heads(Linear linear, int heads, int headSize) {}

  private record Layer(
      String input,
      Heads query,
      Heads key,
      Heads value,
      Linear attentionOut,
      Norm attentionNorm,
      Linear up,
      Linear down,
      Norm mlpNorm) {}

  private record Tables(String tokens, String positions, String types) {}

  /**
   * @throws InvalidCheckpointException if it is no such graph
   */
  static ModelSource read(OnnxGraph graph) throws InvalidCheckpointException {
    return new OnnxBert(graph).read();
  }

  private ModelSource read() throws InvalidCheckpointException {
    List<Layer> layers = new ArrayList<>();
    String at = graph.output();
    // The tables are where the sum below a LayerNorm is one of lookups.
    while (!graph.comesFrom(sum(norm(at).input()).get(1), "Gather")) {
      if (layers.size() > graph.nodes()) {
        throw graph.unknown("its layers go round in a circle");
      }
      Layer layer = layer(at);
      layers.add(layer);
      at = layer.input();
    }
    if (layers.isEmpty()) {
      throw graph.unknown("it has no layers");
    }
    Collections.reverse(layers);
    Norm norm = norm(at);
    return source(tables(norm.input()), norm, layers);
  }

  private ModelSource source(Tables tables, Norm norm, List<Layer> layers)
      throws InvalidCheckpointException {
    int vocabulary = size(tables.tokens(), 0);
    int hidden = size(tables.tokens(), 1);
    int positions = size(tables.positions(), 0);
    int types = size(tables.types(), 0);
    Layer first = layers.get(0);
    int heads = first.query().heads();
    int headSize = first.query().headSize();
    int inner = size(first.up().weight(), 1);
    List<SourceTensor> embeddings = new ArrayList<>();
    embeddings.add(table("tokens", tables.tokens(), vocabulary, hidden));
    embeddings.add(table("positions", tables.positions(), positions, hidden));
    embeddings.add(table("types", tables.types(), types, hidden));
    addNorm("norm", norm, hidden, embeddings);
    List<SourceUnit> units = new ArrayList<>();
    units.add(new SourceUnit(Manifest.EMBEDDINGS, List.copyOf(embeddings)));
    for (Layer layer : layers) {
      requireSame(norm.epsilon(), layer.attentionNorm().epsilon(), layer.mlpNorm().epsilon());
      for (Heads part : List.of(layer.query(), layer.key(), layer.value())) {
        if (part.heads() != heads || part.headSize() != headSize) {
          throw graph.unknown("its layers have heads of different numbers or sizes");
        }
      }
      units.add(unit(units.size() - 1, layer, hidden, inner));
    }
    if ((long) heads * headSize != hidden) {
      throw graph.unknown(
          "%d heads of %d are not the hidden size %d".formatted(heads, headSize, hidden));
    }
    graph.requireAllUsed();
    return new ModelSource(
        "bert",
        layers.size(),
        hidden,
        vocabulary,
        positions,
        new Manifest.Embeddings(positions, types, new Manifest.LayerNorm(norm.epsilon())),
        new Manifest.Layer(
            new Manifest.Norm(Manifest.NormOrder.POST, norm.epsilon()),
            new Manifest.Attention(
                heads,
                headSize,
                Manifest.Mask.BIDIRECTIONAL,
                Collections.nCopies(layers.size(), 1 / Math.sqrt(headSize))),
            new Manifest.Mlp(inner, Manifest.Activation.GELU_ERF)),
        null,
        List.copyOf(units));
  }

  private SourceUnit unit(int index, Layer layer, int hidden, int inner)
      throws InvalidCheckpointException {
    List<SourceTensor> tensors = new ArrayList<>();
    addNorm("attention.norm", layer.attentionNorm(), hidden, tensors);
    List<Tensor> weights = new ArrayList<>();
    List<Tensor> biases = new ArrayList<>();
    for (Heads part : List.of(layer.query(), layer.key(), layer.value())) {
      weights.add(graph.tensor(part.linear().weight(), hidden, hidden));
      biases.add(graph.tensor(part.linear().bias(), hidden));
    }
    tensors.add(SourceTensor.joinedTransposed("attention.qkv.weight", 3 * hidden, hidden, weights));
    tensors.add(SourceTensor.joinedVector("attention.qkv.bias", 3 * hidden, biases));
    addLinear("attention.out", layer.attentionOut(), hidden, hidden, tensors);
    addNorm("mlp.norm", layer.mlpNorm(), hidden, tensors);
    addLinear("mlp.up", layer.up(), inner, hidden, tensors);
    addLinear("mlp.down", layer.down(), hidden, inner, tensors);
    return new SourceUnit(Manifest.layerUnit(index), List.copyOf(tensors));
  }

  /** {@code x = norm(x + attention(x)); x = norm(x + mlp(x))}. */
  private Layer layer(String output) throws InvalidCheckpointException {
    Norm mlpNorm = norm(output);
    List<String> mlp = sum(mlpNorm.input());
    Linear down = linear(mlp.get(0));
    Linear up = linear(gelu(down.input()));
    require(up.input().equals(mlp.get(1)), "an MLP whose input is not its residual");
    Norm attentionNorm = norm(mlp.get(1));
    List<String> attention = sum(attentionNorm.input());
    Linear out = linear(attention.get(0));
    List<String> joined = graph.inputs(out.input(), "Reshape", 2);
    graph.requireAttribute(joined.get(0), "Transpose", "perm", List.of(0L, 2L, 1L, 3L));
    List<String> weighted = graph.inputs(graph.input(joined.get(0), "Transpose"), "MatMul", 2);
    graph.requireAttribute(weighted.get(0), "Softmax", "axis", List.of(3L));
    List<String> masked = sum(graph.input(weighted.get(0), "Softmax"));
    requireMask(masked.get(1));
    List<String> scaled = graph.inputs(masked.get(0), "Div", 2);
    List<String> scores = graph.inputs(scaled.get(0), "MatMul", 2);
    Heads query = heads(scores.get(0), List.of(0L, 2L, 1L, 3L));
    Heads key = heads(scores.get(1), List.of(0L, 2L, 3L, 1L));
    Heads value = heads(weighted.get(1), List.of(0L, 2L, 1L, 3L));
    requireNumber(scaled.get(1), Math.sqrt(query.headSize()));
    for (Heads part : List.of(query, key, value)) {
      require(
          part.linear().input().equals(attention.get(1)),
          "an attention whose input is not its residual");
    }
    return new Layer(attention.get(1), query, key, value, out, attentionNorm, up, down, mlpNorm);
  }

  private Heads heads(String value, List<Long> order) throws InvalidCheckpointException {
    graph.requireAttribute(value, "Transpose", "perm", order);
    List<String> reshaped = graph.inputs(graph.input(value, "Transpose"), "Reshape", 2);
    graph.requireAttribute(reshaped.get(1), "Concat", "axis", FIRST_AXIS);
    List<String> shape = graph.inputs(reshaped.get(1), "Concat", 4);
    return new Heads(linear(reshaped.get(0)), positive(shape.get(2)), positive(shape.get(3)));
  }

  private int positive(String value) throws InvalidCheckpointException {
    long size = integer(value);
    require(size > 0 && size <= Integer.MAX_VALUE, value + " as a size");
    return Math.toIntExact(size);
  }

  private long integer(String value) throws InvalidCheckpointException {
    long[] integers = graph.integers(value);
    require(integers.length == 1, "%d integers at %s".formatted(integers.length, value));
    return integers[0];
  }

  /** {@code (1 - mask) * minimum}, which leaves nothing of what is masked behind the softmax. */
  private void requireMask(String value) throws InvalidCheckpointException {
    List<String> scaled = graph.inputs(value, "Mul", 2);
    require(graph.number(scaled.get(1)) <= -10_000, "a mask that does not hide");
    List<String> inverted = graph.inputs(scaled.get(0), "Sub", 2);
    requireNumber(inverted.get(0), 1);
    String wide = graph.input(graph.input(inverted.get(1), "Cast"), "Unsqueeze");
    require(
        graph.input(wide, "Unsqueeze").equals("attention_mask"),
        "a mask of something else than attention_mask");
  }

  /** {@code 0.5 x (1 + erf(x / sqrt(2)))}. */
  private String gelu(String value) throws InvalidCheckpointException {
    List<String> halved = graph.inputs(value, "Mul", 2);
    requireNumber(halved.get(1), 0.5);
    List<String> product = graph.inputs(halved.get(0), "Mul", 2);
    List<String> plusOne = sum(product.get(1));
    requireNumber(plusOne.get(1), 1);
    List<String> scaled = graph.inputs(graph.input(plusOne.get(0), "Erf"), "Div", 2);
    requireNumber(scaled.get(1), Math.sqrt(2));
    require(scaled.get(0).equals(product.get(0)), "an activation other than GELU");
    return scaled.get(0);
  }

  private Linear linear(String value) throws InvalidCheckpointException {
    List<String> biased = sum(value);
    List<String> product = graph.inputs(biased.get(1), "MatMul", 2);
    return new Linear(product.get(0), product.get(1), biased.get(0));
  }

  /** {@code (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * weight + bias}. */
  private Norm norm(String value) throws InvalidCheckpointException {
    List<String> biased = sum(value);
    List<String> weighted = graph.inputs(biased.get(0), "Mul", 2);
    List<String> normalised = graph.inputs(weighted.get(0), "Div", 2);
    List<String> centred = graph.inputs(normalised.get(0), "Sub", 2);
    require(mean(centred.get(1)).equals(centred.get(0)), "a LayerNorm of something else's mean");
    List<String> variance = sum(graph.input(normalised.get(1), "Sqrt"));
    List<String> squared = graph.inputs(mean(variance.get(0)), "Pow", 2);
    requireNumber(squared.get(1), 2);
    require(squared.get(0).equals(normalised.get(0)), "a LayerNorm of something else's variance");
    // The number that was written, not the f32 next to it.
    double epsilon = Double.parseDouble(Float.toString(graph.number(variance.get(1))));
    return new Norm(centred.get(0), weighted.get(1), biased.get(1), epsilon);
  }

  private String mean(String value) throws InvalidCheckpointException {
    graph.requireAttribute(value, "ReduceMean", "axes", LAST_AXIS);
    graph.requireDefault(value, "ReduceMean", "keepdims", 1);
    return graph.input(value, "ReduceMean");
  }

  private Tables tables(String value) throws InvalidCheckpointException {
    List<String> all = sum(value);
    List<String> two = sum(all.get(0));
    List<String> tokens = lookup(two.get(0));
    List<String> types = lookup(two.get(1));
    List<String> positions = lookup(all.get(1));
    require(tokens.get(1).equals("input_ids"), "tokens that are not input_ids");
    require(types.get(1).equals("token_type_ids"), "types that are not token_type_ids");
    requireCounting(positions.get(1), size(positions.get(0), 0));
    return new Tables(tokens.get(0), positions.get(0), types.get(0));
  }

  /** A table and the rows that are taken of it. */
  private List<String> lookup(String value) throws InvalidCheckpointException {
    graph.requireDefault(value, "Gather", "axis", 0);
    return graph.inputs(value, "Gather", 2);
  }

  /** Positions from 0 to as many as there are tokens. */
  private void requireCounting(String value, int positions) throws InvalidCheckpointException {
    List<String> slice = graph.inputs(value, "Slice", 5);
    long[] counted = graph.integers(slice.get(0));
    require(counted.length == positions, "positions that are not as many as their table's rows");
    for (int i = 0; i < counted.length; i++) {
      require(counted[i] == i, "positions that do not count from 0");
    }
    require(integer(slice.get(1)) == 0, "positions that start elsewhere than at 0");
    require(integer(slice.get(3)) == 1, "positions along another axis");
    require(integer(slice.get(4)) == 1, "positions in steps");
  }

  private List<String> sum(String value) throws InvalidCheckpointException {
    return graph.inputs(value, "Add", 2);
  }

  private int size(String table, int axis) throws InvalidCheckpointException {
    List<Long> shape = graph.shape(table);
    require(
        shape.size() == 2 && shape.get(axis) > 0 && shape.get(axis) <= Integer.MAX_VALUE / 4,
        table + " of the shape " + shape);
    return Math.toIntExact(shape.get(axis));
  }

  private SourceTensor table(String name, String initializer, int rows, int hidden)
      throws InvalidCheckpointException {
    return SourceTensor.matrix(
        name, Role.TABLE, rows, hidden, graph.tensor(initializer, rows, hidden));
  }

  private void addNorm(String name, Norm norm, int hidden, List<SourceTensor> to)
      throws InvalidCheckpointException {
    to.add(SourceTensor.vector(name + ".weight", hidden, graph.tensor(norm.weight(), hidden)));
    to.add(SourceTensor.vector(name + ".bias", hidden, graph.tensor(norm.bias(), hidden)));
  }

  private void addLinear(String name, Linear linear, int out, int in, List<SourceTensor> to)
      throws InvalidCheckpointException {
    to.add(
        SourceTensor.transposed(name + ".weight", out, in, graph.tensor(linear.weight(), in, out)));
    to.add(SourceTensor.vector(name + ".bias", out, graph.tensor(linear.bias(), out)));
  }

  private void requireSame(double... epsilons) throws InvalidCheckpointException {
    for (double epsilon : epsilons) {
      require(epsilon == epsilons[0], "LayerNorms with different epsilons");
    }
  }

  private void requireNumber(String value, double expected) throws InvalidCheckpointException {
    float actual = graph.number(value);
    require(
        Math.abs(actual - expected) <= 1e-6 * expected, actual + " where " + expected + " must be");
  }

  private void require(boolean holds, String otherwise) throws InvalidCheckpointException {
    if (!holds) {
      throw graph.unknown("it has " + otherwise);
    }
  }
}
