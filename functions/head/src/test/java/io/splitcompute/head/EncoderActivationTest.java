package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.core.Linear;
import ai.djl.nn.norm.LayerNorm;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * An encoder with each activation that a config can name, against PyTorch's own operations. The
 * fixtures have one of them alone.
 */
final class EncoderActivationTest {

  private static final String FIXTURE = "bert-mean";
  private static final int LAYERS = 3;
  private static final int HIDDEN = 48;
  private static final int HEADS = 4;
  private static final double TOLERANCE = 1e-5;

  private static final Map<String, UnaryOperator<NDArray>> ACTIVATIONS =
      Map.of(
          "gelu", Activation::gelu,
          "gelu_new", EncoderActivationTest::geluByTanh,
          "gelu_pytorch_tanh", EncoderActivationTest::geluByTanh,
          "relu", Activation::relu);

  @TempDir static Path folder;

  private static RunningHead head;
  private static Fixture fixture;
  private static SafetensorsFile weights;

  @BeforeAll
  static void start() throws Exception {
    Path store = folder.resolve("store");
    for (String name : ACTIVATIONS.keySet()) {
      Path checkpoint = ShardedFixtures.copy(FIXTURE, folder.resolve(name));
      Path config = checkpoint.resolve("config.json");
      String changed =
          Files.readString(config)
              .replace("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"" + name + "\"");
      assertTrue(changed.contains('"' + name + '"'));
      Files.writeString(config, changed);
      ShardedFixtures.shard(store, checkpoint, name);
    }
    fixture = Fixture.read(FIXTURE, "expected.safetensors");
    weights = SafetensorsFile.open(Fixture.FOLDER.resolve(FIXTURE).resolve("model.safetensors"));
    head =
        RunningHead.start(
            Map.of(
                "splitcompute.weights",
                "file:" + store,
                "splitcompute.models",
                List.copyOf(ACTIVATIONS.keySet())));
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"})
  void shouldComputeWhatPyTorchComputes(String name) throws Exception {
    List<float[]> expected = reference(name);
    for (int cut = 1; cut <= LAYERS; cut++) {
      ReadMessage message = head.activations(name, fixture.sequences(), cut);

      Difference.assertWithin(
          TOLERANCE, expected.get(cut - 1), message.hidden(), name + " cut " + cut);
    }
  }

  @Test
  void shouldCompareWithWhatTransformersComputesToo() throws Exception {
    assertEquals(LAYERS, fixture.layers());
    List<float[]> reference = reference("gelu");
    for (int cut = 1; cut <= LAYERS; cut++) {
      Difference.assertWithin(TOLERANCE, fixture.hidden(cut), reference.get(cut - 1), "cut " + cut);
    }
  }

  @Test
  void shouldSeeWhichActivationItIs() throws Exception {
    float[] erf = reference("gelu").get(LAYERS - 1);

    assertTrue(Difference.between(erf, reference("gelu_new").get(LAYERS - 1)) > 5 * TOLERANCE);
    assertTrue(Difference.between(erf, reference("relu").get(LAYERS - 1)) > 5 * TOLERANCE);
  }

  /** What each layer gives for the fixture's sequences, {@code [tokens, hiddenSize]}. */
  private static List<float[]> reference(String activation) throws IOException {
    List<float[]> outputs = new ArrayList<>();
    for (int layer = 0; layer < LAYERS; layer++) {
      outputs.add(new float[fixture.hidden(0).length]);
    }
    try (NDManager manager = NDManager.newBaseManager(Device.cpu(), "PyTorch")) {
      int begin = 0;
      for (int length : fixture.lengths()) {
        int end = begin + length;
        NDArray x =
            manager.create(
                Arrays.copyOfRange(fixture.hidden(0), begin * HIDDEN, end * HIDDEN),
                new Shape(length, HIDDEN));
        for (int layer = 0; layer < LAYERS; layer++) {
          x = layer(manager, "encoder.layer." + layer + ".", x, activation);
          System.arraycopy(
              x.toFloatArray(), 0, outputs.get(layer), begin * HIDDEN, length * HIDDEN);
        }
        begin = end;
      }
    }
    return outputs;
  }

  private static NDArray layer(NDManager manager, String name, NDArray x, String activation)
      throws IOException {
    NDArray query = heads(linear(manager, name + "attention.self.query", x));
    NDArray key = heads(linear(manager, name + "attention.self.key", x));
    NDArray value = heads(linear(manager, name + "attention.self.value", x));
    NDArray weighted =
        query
            .matMul(key.transpose(0, 2, 1))
            .div(Math.sqrt(HIDDEN / HEADS))
            .softmax(-1)
            .matMul(value)
            .transpose(1, 0, 2)
            .reshape(x.getShape());
    NDArray attended =
        norm(
            manager,
            name + "attention.output.LayerNorm",
            x.add(linear(manager, name + "attention.output.dense", weighted)));
    NDArray up = linear(manager, name + "intermediate.dense", attended);
    NDArray activated = Objects.requireNonNull(ACTIVATIONS.get(activation)).apply(up);
    return norm(
        manager,
        name + "output.LayerNorm",
        attended.add(linear(manager, name + "output.dense", activated)));
  }

  private static NDArray heads(NDArray x) {
    return x.reshape(x.getShape().get(0), HEADS, HIDDEN / HEADS).transpose(1, 0, 2);
  }

  private static NDArray geluByTanh(NDArray x) {
    NDArray inner = x.add(x.pow(3).mul(0.044715)).mul(Math.sqrt(2 / Math.PI));
    return x.mul(0.5).mul(inner.tanh().add(1));
  }

  private static NDArray linear(NDManager manager, String name, NDArray x) throws IOException {
    return only(
        Linear.linear(x, tensor(manager, name + ".weight"), tensor(manager, name + ".bias")));
  }

  private static NDArray norm(NDManager manager, String name, NDArray x) throws IOException {
    return only(
        LayerNorm.layerNorm(
            x,
            new Shape(HIDDEN),
            tensor(manager, name + ".weight"),
            tensor(manager, name + ".bias"),
            1e-12f));
  }

  private static NDArray only(NDList list) {
    return list.singletonOrThrow();
  }

  private static NDArray tensor(NDManager manager, String name) throws IOException {
    Tensor tensor = weights.tensor(name);
    float[] values = new float[Math.toIntExact(tensor.elements())];
    tensor.bytes().asFloatBuffer().get(values);
    return manager.create(values, new Shape(tensor.shape()));
  }
}
