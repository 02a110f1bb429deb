package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import com.google.protobuf.ByteString;
import io.splitcompute.weights.Manifest;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The graph of a real encoder is read; one that computes something else is refused. */
class OnnxGraphTest {

  private static final String LAYER = "/encoder/layer.3/";

  private static ModelProto model = ModelProto.getDefaultInstance();
  private static byte[] bytes = new byte[0];

  @BeforeAll
  static void read() throws Exception {
    try (InputStream in = OnnxGraphTest.class.getResourceAsStream("/all-minilm-l6-v2.onnx")) {
      bytes = Objects.requireNonNull(in).readAllBytes();
      model = ModelProto.parseFrom(bytes);
    }
  }

  @Test
  void shouldReadAnEncoder() throws Exception {
    ModelSource source = OnnxBert.read(OnnxGraph.parse("a file", bytes));

    assertEquals("bert", source.family());
    assertEquals(6, source.layers());
    assertEquals(384, source.hiddenSize());
    assertEquals(30_522, source.vocabularySize());
    assertEquals(512, source.maxTokens());
    assertEquals(
        new Manifest.Embeddings(512, 2, new Manifest.LayerNorm(1e-12)), source.embeddings());
    assertEquals(new Manifest.Norm(Manifest.NormOrder.POST, 1e-12), source.layer().norm());
    assertEquals(12, source.layer().attention().heads());
    assertEquals(32, source.layer().attention().headSize());
    assertEquals(new Manifest.Mlp(1536, Manifest.Activation.GELU_ERF), source.layer().mlp());
    assertEquals(7, source.units().size());
  }

  @Test
  void shouldTakeEachWeightFromWhereTheGraphUsesIt() throws Exception {
    ModelSource source = OnnxBert.read(OnnxGraph.parse("a file", bytes));

    // Biases have names of their own, by which the order of the layers is seen.
    for (int i = 0; i < source.layers(); i++) {
      List<String> tensors =
          source.units().get(i + 1).tensors().stream().map(SourceTensor::toString).toList();
      String layer = "encoder.layer." + i + ".";
      for (String bias :
          List.of(
              "attention.output.LayerNorm.bias",
              "attention.self.query.bias, "
                  + layer
                  + "attention.self.key.bias, "
                  + layer
                  + "attention.self.value.bias",
              "attention.output.dense.bias",
              "output.LayerNorm.bias",
              "intermediate.dense.bias",
              "output.dense.bias")) {
        assertTrue(tensors.stream().anyMatch(t -> t.contains(" (" + layer + bias + " of ")), bias);
      }
    }
  }

  @Test
  void shouldRefuseATruncatedFileAndOtherFiles() {
    for (byte[] other :
        List.of(
            Arrays.copyOf(bytes, bytes.length / 2),
            Arrays.copyOf(bytes, bytes.length - 1),
            "<html>not found</html>".getBytes(StandardCharsets.UTF_8))) {
      String refusal =
          assertThrows(InvalidCheckpointException.class, () -> OnnxGraph.parse("a file", other))
              .toString();
      assertTrue(refusal.contains("a file is no ONNX file"), refusal);
    }
  }

  static Stream<Arguments> changes() {
    return Stream.of(
        change(
            "an activation of another kind",
            operation("intermediate/intermediate_act_fn/Erf", "Tanh"),
            "not from Erf"),
        change(
            "another axis of the softmax",
            attribute("attention/self/Softmax", 2),
            "axis [2], not [3]"),
        change(
            "another order of the heads", order("attention/self/Transpose_2"), "perm [0, 1, 2, 3]"),
        change(
            "another order of what is joined",
            order("attention/self/Transpose_3"),
            "perm [0, 1, 2, 3]"),
        change("another scale", number("attention/self/Constant_12", 4f), "4.0 where 5.65"),
        change(
            "half of a GELU",
            number("intermediate/intermediate_act_fn/Constant_2", 1f),
            "1.0 where 0.5"),
        change(
            "another epsilon",
            number("output/LayerNorm/Constant_1", 1e-5f),
            "LayerNorms with different epsilons"),
        change("another power", number("output/LayerNorm/Constant", 3f), "3.0 where 2.0"),
        change("a mask that hides little", number("/Constant_1", -1f), "a mask that does not hide"),
        change(
            "heads of another size",
            integer("attention/self/Constant_3", 16),
            "heads of different numbers"),
        change(
            "no residual",
            input("output/Add", 1, "/embeddings/LayerNorm/Add_1_output_0"),
            "not its residual"),
        change(
            "the query of another layer",
            input("attention/self/query/MatMul", 0, "/embeddings/LayerNorm/Add_1_output_0"),
            "not its residual"),
        change(
            "a layer of itself",
            input("attention/output/Add", 1, LAYER + "output/LayerNorm/Add_1_output_0"),
            "not its residual"),
        change(
            "an operation of a library's own",
            node("attention/self/Softmax", node -> node.setDomain("com.example")),
            "comes from Softmax, not from Softmax"),
        change(
            "a bias that is computed",
            input("output/dense/Add", 0, "/Mul_output_0"),
            "is no initializer"),
        change(
            "an input too many",
            node("output/Add", node -> node.addInput("input_ids")),
            "has 3 inputs, not 2"),
        change(
            "a tensor too many",
            graph -> graph.addInitializer(TensorProto.newBuilder().setName("adapter")),
            "its initializer adapter"),
        change(
            "a tensor twice",
            graph -> graph.addInitializer(graph.getInitializer(3)),
            "two initializers have the name"),
        change("a value twice", graph -> graph.addNode(graph.getNode(3)), "comes from two places"),
        change(
            "a tensor too few", without("encoder.layer.3.output.dense.bias"), "is no initializer"),
        change(
            "a tensor of another shape",
            tensor("encoder.layer.3.output.dense.bias", t -> t.setDims(0, 383)),
            "has the shape [383], not [384]"),
        change(
            "a tensor that is cut off",
            tensor(
                "encoder.layer.3.output.dense.bias",
                t -> t.setRawData(t.getRawData().substring(0, 100))),
            "has 100 bytes where its shape [384] asks for 1536"),
        change(
            "a tensor of doubles",
            tensor("encoder.layer.3.output.dense.bias", t -> t.setDataType(11)),
            "is not in f32"),
        change(
            "a tensor in another file",
            tensor(
                "encoder.layer.3.output.dense.bias",
                t ->
                    t.setDataLocation(TensorProto.DataLocation.EXTERNAL)
                        .addExternalData(
                            StringStringEntryProto.newBuilder()
                                .setKey("location")
                                .setValue("../../etc/passwd"))),
            "does not have its values within itself"),
        change(
            "a table of no rows",
            tensor("embeddings.token_type_embeddings.weight", t -> t.setDims(0, 0)),
            "of the shape [0, 384]"),
        change("positions that count from 1", positions(), "positions that do not count from 0"),
        change("positions from nowhere", slice(1), "0 integers at"),
        change("positions along no axis", slice(3), "0 integers at"),
        change("positions in no steps", slice(4), "0 integers at"),
        change(
            "a lookup along another axis",
            node(
                "/embeddings/word_embeddings/Gather",
                node -> node.addAttribute(integerAttribute("axis", 1))),
            "axis [1], not [0]"),
        change(
            "a mean without its axis",
            node(
                "output/LayerNorm/ReduceMean",
                node -> {
                  List<AttributeProto> others =
                      node.getAttributeList().stream()
                          .filter(attribute -> !attribute.getName().equals("keepdims"))
                          .toList();
                  node.clearAttribute()
                      .addAllAttribute(others)
                      .addAttribute(integerAttribute("keepdims", 0));
                }),
            "keepdims [0], not [1]"),
        change(
            "a shape along another axis",
            attribute("attention/self/Concat", 1),
            "axis [1], not [0]"),
        change("two outputs", graph -> graph.addOutput(graph.getOutput(0)), "2 outputs"),
        change(
            "no layers",
            graph ->
                graph.setOutput(
                    0,
                    graph.getOutput(0).toBuilder().setName("/embeddings/LayerNorm/Add_1_output_0")),
            "has no layers"),
        change("nothing", GraphProto.Builder::clear, "0 outputs"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("changes")
  void shouldRefuseAGraphThatComputesSomethingElse(
      String name, Consumer<GraphProto.Builder> change, String why) {
    ModelProto.Builder changed = model.toBuilder();
    change.accept(changed.getGraphBuilder());

    String refusal =
        assertThrows(
                InvalidCheckpointException.class,
                () -> OnnxBert.read(OnnxGraph.of("a file", changed.build())))
            .toString();

    assertTrue(refusal.contains(why), refusal);
    assertTrue(refusal.contains("a file has a graph that is not known"), refusal);
    assertEquals(1, refusal.lines().count());
  }

  private static Arguments change(String name, Consumer<GraphProto.Builder> change, String why) {
    return Arguments.of(name, change, why);
  }

  private static Consumer<GraphProto.Builder> node(
      String name, Consumer<NodeProto.Builder> change) {
    String whole = name.startsWith("/") ? name : LAYER + name;
    return graph ->
        change.accept(
            graph.getNodeBuilderList().stream()
                .filter(node -> node.getName().equals(whole))
                .findFirst()
                .orElseThrow());
  }

  private static Consumer<GraphProto.Builder> tensor(
      String name, Consumer<TensorProto.Builder> change) {
    return graph ->
        change.accept(
            graph.getInitializerBuilderList().stream()
                .filter(tensor -> tensor.getName().equals(name))
                .findFirst()
                .orElseThrow());
  }

  private static Consumer<GraphProto.Builder> without(String tensor) {
    return graph ->
        graph.removeInitializer(
            IntStream.range(0, graph.getInitializerCount())
                .filter(i -> graph.getInitializer(i).getName().equals(tensor))
                .findFirst()
                .orElseThrow());
  }

  private static Consumer<GraphProto.Builder> operation(String name, String operation) {
    return node(name, node -> node.setOpType(operation));
  }

  private static Consumer<GraphProto.Builder> input(String name, int index, String value) {
    return node(name, node -> node.setInput(index, value));
  }

  private static Consumer<GraphProto.Builder> attribute(String name, long value) {
    return node(name, node -> node.getAttributeBuilder(0).setI(value));
  }

  private static AttributeProto integerAttribute(String name, long value) {
    return AttributeProto.newBuilder()
        .setName(name)
        .setType(AttributeProto.AttributeType.INT)
        .setI(value)
        .build();
  }

  /** Gives one input of the positions' Slice no elements. */
  private static Consumer<GraphProto.Builder> slice(int input) {
    return graph -> {
      String constant =
          graph.getNodeList().stream()
              .filter(node -> node.getOpType().equals("Slice"))
              .filter(node -> node.getInput(0).equals("embeddings.position_ids"))
              .findFirst()
              .orElseThrow()
              .getInput(input);
      graph.getNodeBuilderList().stream()
          .filter(node -> node.getOutputList().contains(constant))
          .forEach(node -> node.getAttributeBuilder(0).getTBuilder().setRawData(ByteString.EMPTY));
    };
  }

  private static Consumer<GraphProto.Builder> order(String name) {
    return node(
        name, node -> node.getAttributeBuilder(0).clearInts().addAllInts(List.of(0L, 1L, 2L, 3L)));
  }

  private static Consumer<GraphProto.Builder> number(String constant, float value) {
    return constant(constant, Float.floatToIntBits(value), Float.BYTES);
  }

  private static Consumer<GraphProto.Builder> integer(String constant, long value) {
    return constant(constant, value, Long.BYTES);
  }

  private static Consumer<GraphProto.Builder> constant(String name, long bits, int bytes) {
    return node(
        name,
        node -> {
          AttributeProto.Builder value = node.getAttributeBuilder(0);
          value.getTBuilder().setRawData(littleEndian(bits, bytes));
        });
  }

  private static Consumer<GraphProto.Builder> positions() {
    return tensor(
        "embeddings.position_ids",
        tensor ->
            tensor.setRawData(
                littleEndian(1, Long.BYTES).concat(tensor.getRawData().substring(Long.BYTES))));
  }

  private static ByteString littleEndian(long bits, int bytes) {
    byte[] raw = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      raw[i] = (byte) (bits >>> (8 * i));
    }
    return ByteString.copyFrom(raw);
  }
}
