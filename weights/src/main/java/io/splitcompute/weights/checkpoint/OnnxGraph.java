package io.splitcompute.weights.checkpoint;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnsafeByteOperations;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * An ONNX graph, to be walked from its output to its inputs. Whoever walks it says what must stand
 * where; anything else is an error that names the place.
 */
final class OnnxGraph {

  private final String origin;
  private final GraphProto graph;
  private final Map<String, NodeProto> producers = new HashMap<>();
  private final Map<String, TensorProto> initializers = new HashMap<>();
  private final Set<String> used = new HashSet<>();

  private OnnxGraph(String origin, GraphProto graph) {
    this.origin = origin;
    this.graph = graph;
  }

  /**
   * @param origin the file, for messages
   * @param bytes the file's, which must not change: tensors are views of them
   * @throws InvalidCheckpointException if they are no ONNX file
   */
  static OnnxGraph parse(String origin, byte[] bytes) throws IOException {
    try {
      CodedInputStream in = UnsafeByteOperations.unsafeWrap(bytes).newCodedInput();
      // A tensor of some ten megabytes is then not copied.
      in.enableAliasing(true);
      ModelProto model = ModelProto.parseFrom(in);
      in.checkLastTagWas(0);
      return of(origin, model);
    } catch (InvalidProtocolBufferException invalid) {
      throw new InvalidCheckpointException(origin + " is no ONNX file, or a part of one");
    }
  }

  /**
   * @throws InvalidCheckpointException if the graph gives one name to two things
   */
  static OnnxGraph of(String origin, ModelProto model) throws InvalidCheckpointException {
    OnnxGraph graph = new OnnxGraph(origin, model.getGraph());
    for (TensorProto tensor : graph.graph.getInitializerList()) {
      if (graph.initializers.put(tensor.getName(), tensor) != null) {
        throw graph.unknown("two initializers have the name " + tensor.getName());
      }
    }
    for (NodeProto node : graph.graph.getNodeList()) {
      for (String output : node.getOutputList()) {
        if (graph.producers.put(output, node) != null || graph.initializers.containsKey(output)) {
          throw graph.unknown("the value " + output + " comes from two places");
        }
      }
    }
    return graph;
  }

  /** How many nodes there are. */
  int nodes() {
    return graph.getNodeCount();
  }

  /** The graph's only output. */
  String output() throws InvalidCheckpointException {
    if (graph.getOutputCount() != 1) {
      throw unknown("it has " + graph.getOutputCount() + " outputs, not one");
    }
    return graph.getOutput(0).getName();
  }

  /** Whether a value comes from a node of this operation. */
  boolean comesFrom(String value, String operation) {
    NodeProto node = producers.get(value);
    return node != null && node.getOpType().equals(operation) && node.getDomain().isEmpty();
  }

  /** The inputs of the node of which a value comes, which must be of this operation. */
  List<String> inputs(String value, String operation, int count) throws InvalidCheckpointException {
    NodeProto node = node(value, operation);
    if (node.getInputCount() != count) {
      throw unknown("%s has %d inputs, not %d".formatted(place(node), node.getInputCount(), count));
    }
    return node.getInputList();
  }

  /** A value's only input, by way of an operation. */
  String input(String value, String operation) throws InvalidCheckpointException {
    return inputs(value, operation, 1).get(0);
  }

  /**
   * @throws InvalidCheckpointException if an attribute of the node from which a value comes is not
   *     as it must be
   */
  void requireAttribute(String value, String operation, String name, List<Long> expected)
      throws InvalidCheckpointException {
    if (!hasAttribute(value, operation, name, expected)) {
      throw unknown("%s has no %s".formatted(place(node(value, operation)), name));
    }
  }

  /**
   * @throws InvalidCheckpointException if an attribute of the node from which a value comes is
   *     there and not what it is where it is absent
   */
  void requireDefault(String value, String operation, String name, long byDefault)
      throws InvalidCheckpointException {
    hasAttribute(value, operation, name, List.of(byDefault));
  }

  private boolean hasAttribute(String value, String operation, String name, List<Long> expected)
      throws InvalidCheckpointException {
    NodeProto node = node(value, operation);
    for (AttributeProto attribute : node.getAttributeList()) {
      if (attribute.getName().equals(name)) {
        List<Long> actual =
            attribute.getType() == AttributeProto.AttributeType.INT
                ? List.of(attribute.getI())
                : attribute.getIntsList();
        if (actual.equals(expected)) {
          return true;
        }
        throw unknown("%s has %s %s, not %s".formatted(place(node), name, actual, expected));
      }
    }
    return false;
  }

  private NodeProto node(String value, String operation) throws InvalidCheckpointException {
    NodeProto node = producers.get(value);
    if (node == null || !comesFrom(value, operation)) {
      throw unknown(
          "%s comes from %s, not from %s"
              .formatted(value, node == null ? "no node" : node.getOpType(), operation));
    }
    return node;
  }

  /** A constant number. */
  float number(String value) throws InvalidCheckpointException {
    TensorProto tensor = constant(value);
    ByteString raw = tensor.getRawData();
    if (tensor.getDataType() != TensorProto.DataType.FLOAT_VALUE || raw.size() != Float.BYTES) {
      throw unknown(value + " is not one number in f32");
    }
    return raw.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).getFloat();
  }

  /** Constant integers. */
  long[] integers(String value) throws InvalidCheckpointException {
    TensorProto tensor = constant(value);
    ByteString raw = tensor.getRawData();
    if (tensor.getDataType() != TensorProto.DataType.INT64_VALUE || raw.size() % Long.BYTES != 0) {
      throw unknown(value + " is not of 64-bit integers");
    }
    long[] integers = new long[raw.size() / Long.BYTES];
    raw.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asLongBuffer().get(integers);
    return integers;
  }

  private TensorProto constant(String value) throws InvalidCheckpointException {
    TensorProto initializer = initializers.get(value);
    if (initializer != null) {
      used.add(value);
      return stored(value, initializer);
    }
    NodeProto node = node(value, "Constant");
    for (AttributeProto attribute : node.getAttributeList()) {
      if (attribute.getName().equals("value")) {
        return stored(value, attribute.getT());
      }
    }
    throw unknown(place(node) + " has no value");
  }

  /** The shape of an initializer. */
  List<Long> shape(String name) throws InvalidCheckpointException {
    return initializer(name).getDimsList();
  }

  /**
   * An initializer in f32.
   *
   * @throws InvalidCheckpointException if it is none, or of another shape
   */
  Tensor tensor(String name, long... shape) throws InvalidCheckpointException {
    TensorProto tensor = stored(name, initializer(name));
    if (tensor.getDataType() != TensorProto.DataType.FLOAT_VALUE) {
      throw unknown("the initializer " + name + " is not in f32");
    }
    List<Long> asked = Arrays.stream(shape).boxed().toList();
    if (!tensor.getDimsList().equals(asked)) {
      throw unknown(
          "the initializer %s has the shape %s, not %s"
              .formatted(name, tensor.getDimsList(), asked));
    }
    used.add(name);
    ByteBuffer bytes = tensor.getRawData().asReadOnlyByteBuffer();
    try {
      return Tensor.of(origin, name, DType.F32, shape, bytes);
    } catch (IllegalArgumentException wrong) {
      throw unknown("the initializer " + wrong.getMessage());
    }
  }

  private TensorProto initializer(String name) throws InvalidCheckpointException {
    TensorProto tensor = initializers.get(name);
    if (tensor == null) {
      throw unknown(name + " is no initializer");
    }
    return tensor;
  }

  /** What is outside the file is not read: its path is from outside too. */
  private TensorProto stored(String name, TensorProto tensor) throws InvalidCheckpointException {
    if (tensor.getDataLocation() != TensorProto.DataLocation.DEFAULT
        || tensor.getExternalDataCount() > 0
        || !tensor.hasRawData()) {
      throw unknown(name + " does not have its values within itself, as raw bytes");
    }
    return tensor;
  }

  /**
   * @throws InvalidCheckpointException if an initializer was not used
   */
  void requireAllUsed() throws InvalidCheckpointException {
    for (String name : initializers.keySet()) {
      if (!used.contains(name)) {
        throw unknown("its initializer " + name + " stands where nothing is known of it");
      }
    }
  }

  InvalidCheckpointException unknown(String what) {
    return new InvalidCheckpointException(
        origin
            + " has a graph that is not known: "
            + what
            + "; known are encoders of BERT's type,"
            + " as PyTorch 2.0 exports them in opset 11");
  }

  private static String place(NodeProto node) {
    return node.getOpType() + " " + node.getName();
  }
}
