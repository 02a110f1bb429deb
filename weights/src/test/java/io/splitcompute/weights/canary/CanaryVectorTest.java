package io.splitcompute.weights.canary;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Vectors;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The canaries of two small models, against ones computed in numpy. */
class CanaryVectorTest {

  private static final JsonNode VECTORS = Vectors.read("canary.json");

  private static Stream<JsonNode> rows() {
    return Vectors.each(VECTORS.get("rows"));
  }

  private static Stream<JsonNode> models() {
    return Vectors.each(VECTORS.get("models"));
  }

  @Test
  void shouldHash() {
    for (JsonNode pair : VECTORS.get("pcg32")) {
      assertEquals(
          pair.get(1).longValue(),
          Integer.toUnsignedLong(CanaryInput.pcg32((int) pair.get(0).longValue())));
    }
  }

  @ParameterizedTest
  @MethodSource("rows")
  void shouldMakeRows(JsonNode vector) {
    float[] expected = Vectors.floats(vector.get("bits"));
    double[] rows =
        CanaryInput.rows(
            (int) vector.get("seed").longValue(),
            vector.get("scale").floatValue(),
            1,
            expected.length)[0];

    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], rows[i]);
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void shouldChooseTokens(JsonNode model) {
    int[] expected = Vectors.each(model.get("tokens")).mapToInt(JsonNode::intValue).toArray();

    assertArrayEquals(
        expected, CanaryInput.tokens(0, expected.length, model.get("vocabularySize").intValue()));
  }

  @ParameterizedTest
  @MethodSource("models")
  void shouldMakeCanaries(JsonNode model) throws Exception {
    Canaries canaries =
        new Canaries(
            reference(model),
            model.get("hiddenSize").intValue(),
            model.get("vocabularySize").intValue(),
            model.get("maxTokens").intValue());
    for (JsonNode unit : model.get("units")) {
      String name = unit.get("name").textValue();
      for (JsonNode variant : unit.get("variants")) {
        assertNear(variant.get("canary"), canaries.of(name, weights(variant)));
      }
      canaries.pass(name, weights(unit.at("/variants/0")));
    }
  }

  private static UnitWeights weights(JsonNode variant) throws IOException {
    return new ShardWeights(SafetensorsFile.parse(ByteBuffer.wrap(Vectors.bytes(variant))));
  }

  /** Both are rounded to f32 from sums in f64 of different orders. */
  private static void assertNear(JsonNode expected, Manifest.Canary canary) {
    double tolerance = 1e-7 * canary.norm();
    assertEquals(0, canary.seed());
    assertEquals(expected.get("scale").floatValue(), canary.scale(), 1e-7 * canary.scale());
    assertEquals(expected.get("mean").floatValue(), canary.mean(), tolerance);
    assertEquals(expected.get("norm").floatValue(), canary.norm(), tolerance);
    List<Double> elements = new ArrayList<>();
    canary.elements().forEach(element -> elements.add((double) element));
    for (int i = 0; i < Manifest.Canary.ELEMENTS; i++) {
      assertEquals(expected.get("elements").get(i).floatValue(), elements.get(i), tolerance);
    }
  }

  private static Reference reference(JsonNode model) {
    JsonNode embeddings = model.get("embeddings");
    JsonNode layer = model.get("layer");
    JsonNode attention = layer.get("attention");
    return new Reference(
        new Manifest.Embeddings(
            embeddings.get("positions").intValue(),
            embeddings.has("types") ? embeddings.get("types").intValue() : null,
            embeddings.has("norm")
                ? new Manifest.LayerNorm(embeddings.at("/norm/epsilon").doubleValue())
                : null),
        new Manifest.Layer(
            new Manifest.Norm(
                Manifest.NormOrder.valueOf(upper(layer.at("/norm/order"))),
                layer.at("/norm/epsilon").doubleValue()),
            new Manifest.Attention(
                attention.get("heads").intValue(),
                attention.get("headSize").intValue(),
                Manifest.Mask.valueOf(upper(attention.get("mask"))),
                List.of(attention.at("/scales/0").doubleValue())),
            new Manifest.Mlp(
                layer.at("/mlp/innerSize").intValue(),
                Manifest.Activation.valueOf(upper(layer.at("/mlp/activation"))))),
        model.has("final")
            ? new Manifest.LayerNorm(model.at("/final/norm/epsilon").doubleValue())
            : null);
  }

  private static String upper(JsonNode word) {
    return word.textValue().toUpperCase(Locale.ROOT);
  }
}
