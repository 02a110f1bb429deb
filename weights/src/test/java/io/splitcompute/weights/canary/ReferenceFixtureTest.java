package io.splitcompute.weights.canary;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.checkpoint.ModelFamily;
import io.splitcompute.weights.checkpoint.ModelSource;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every layer of the reference against what transformers computes of the same input. */
class ReferenceFixtureTest {

  private static final Path FIXTURES = Path.of("..", "fixtures");

  /** Of the tensor's largest value; the expectations are of f32 arithmetic. */
  private static final double TOLERANCE = 1e-5;

  @ParameterizedTest
  @ValueSource(
      strings = {
        "gpt2-plain",
        "gpt2-hub-names-bf16",
        "gpt2-sharded-f16",
        "gpt2-inner-relu-scaled",
        "gpt2-large-activations",
        "bert-mean",
        "bert-cls-f16-prefixed"
      })
  void shouldComputeWhatTransformersDoes(String name) throws Exception {
    Path folder = FIXTURES.resolve(name);
    Checkpoint checkpoint = Checkpoint.open(folder);
    ModelSource model = ModelFamily.of(checkpoint).read(checkpoint);
    Reference reference = new Reference(model.embeddings(), model.layer(), model.finalNorm());
    SafetensorsFile expected = SafetensorsFile.open(folder.resolve("expected.safetensors"));
    int[] lengths = integers(expected.tensor("lengths"));
    int[] tokens = integers(expected.tensor("tokens"));

    int begin = 0;
    for (int length : lengths) {
      int[] ids = Arrays.copyOfRange(tokens, begin, begin + length);
      assertNear(
          rows(expected, "hidden.0", begin, length),
          reference.embed(new CheckpointWeights(unit(model, "embeddings")), ids));
      for (int i = 0; i < model.layers(); i++) {
        assertNear(
            rows(expected, "hidden." + (i + 1), begin, length),
            reference.layer(
                new CheckpointWeights(unit(model, Manifest.layerUnit(i))),
                i,
                rows(expected, "hidden." + i, begin, length)));
      }
      if (model.finalNorm() != null) {
        assertNear(
            rows(expected, "final", begin, length),
            reference.finalNorm(
                new CheckpointWeights(unit(model, "final")),
                rows(expected, "hidden." + model.layers(), begin, length)));
      }
      begin += length;
    }
    if (model.finalNorm() != null) {
      int last = begin - lengths[lengths.length - 1];
      double[][] pooled = rows(expected, "final", last, lengths[lengths.length - 1]);
      assertNear(
          rows(expected, "logits_last", lengths.length - 1, 1),
          reference.logits(
              new CheckpointWeights(unit(model, "lm_head")),
              new double[][] {pooled[pooled.length - 1]}));
    }
  }

  private static SourceUnit unit(ModelSource model, String name) {
    return model.units().stream()
        .filter(unit -> unit.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  private static int[] integers(Tensor tensor) {
    int[] values = new int[(int) tensor.elements()];
    tensor.bytes().asIntBuffer().get(values);
    return values;
  }

  private static double[][] rows(SafetensorsFile file, String name, int first, int count)
      throws IOException {
    Tensor tensor = file.tensor(name);
    int columns = (int) tensor.shape()[1];
    double[][] rows = new double[count][columns];
    for (int row = 0; row < count; row++) {
      for (int column = 0; column < columns; column++) {
        rows[row][column] = tensor.bytes().getFloat(4 * ((first + row) * columns + column));
      }
    }
    return rows;
  }

  private static void assertNear(double[][] expected, double[][] actual) {
    double largest = 0;
    double difference = 0;
    for (int row = 0; row < expected.length; row++) {
      for (int column = 0; column < expected[row].length; column++) {
        largest = Math.max(largest, Math.abs(expected[row][column]));
        difference = Math.max(difference, Math.abs(expected[row][column] - actual[row][column]));
      }
    }
    assertTrue(difference <= TOLERANCE * largest, difference + " at a largest of " + largest);
  }
}
