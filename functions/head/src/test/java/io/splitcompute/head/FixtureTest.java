package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.head.message.ActivationsMessage;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The head alone, at every cut, against what Hugging Face transformers computed. */
final class FixtureTest {

  private static final String[] MODELS = {
    "gpt2-plain",
    "gpt2-hub-names-bf16",
    "gpt2-sharded-f16",
    "gpt2-inner-relu-scaled",
    "gpt2-large-activations"
  };

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start(MODELS);
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "gpt2-plain",
        "gpt2-hub-names-bf16",
        "gpt2-sharded-f16",
        "gpt2-inner-relu-scaled",
        "gpt2-large-activations"
      })
  void shouldHandOverTheActivationsOfEveryCut(String model) throws Exception {
    Fixture fixture = Fixture.read(model, "expected.safetensors");
    for (int cut = 1; cut <= fixture.layers(); cut++) {
      float[] expected = cut < fixture.layers() ? fixture.hidden(cut) : fixture.floats("final");
      for (String dtype : List.of("f32", "f16")) {
        HttpResponse<byte[]> response =
            head.embed(
                Map.of("model", model, "input", fixture.sequences(), "cut", cut, "dtype", dtype),
                "Accept",
                ActivationsMessage.MEDIA_TYPE);

        assertEquals(200, response.statusCode());
        ReadMessage message = ReadMessage.of(response.body());
        assertArrayEquals(fixture.tokens(), message.tokens());
        assertArrayEquals(fixture.lengths(), message.lengths());
        assertEquals(Integer.toString(cut), message.metadata().get("cut"));
        Difference.assertWithin(
            dtype.equals("f32") ? 1e-4 : 2e-3, expected, message.hidden(), model + " cut " + cut);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "gpt2-plain",
        "gpt2-hub-names-bf16",
        "gpt2-sharded-f16",
        "gpt2-inner-relu-scaled",
        "gpt2-large-activations"
      })
  void shouldAnswerPooledEmbeddingsOfAllLayers(String model) throws Exception {
    Fixture fixture = Fixture.read(model, "expected.safetensors");
    for (String pooling : List.of("mean", "last", "cls")) {
      HttpResponse<byte[]> response =
          head.embed(
              Map.of(
                  "model",
                  model,
                  "input",
                  fixture.sequences(),
                  "pooling",
                  pooling,
                  "normalize",
                  false));

      assertEquals(200, response.statusCode());
      Difference.assertWithin(
          1e-4,
          fixture.floats("pooled." + pooling),
          embeddings(RunningHead.json(response)),
          model + " " + pooling);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt2-plain", "gpt2-inner-relu-scaled"})
  void shouldHandOverTokensAloneAtCutZero(String model) throws Exception {
    Fixture fixture = Fixture.read(model, "expected.safetensors");

    HttpResponse<byte[]> response =
        head.embed(Map.of("model", model, "input", fixture.sequences(), "cut", 0));

    ReadMessage message = ReadMessage.of(response.body());
    assertArrayEquals(fixture.tokens(), message.tokens());
    assertFalse(message.hasHidden());
  }

  static float[] embeddings(JsonNode answer) {
    List<Float> all = new ArrayList<>();
    answer.path("embeddings").forEach(row -> row.forEach(x -> all.add(x.floatValue())));
    float[] flat = new float[all.size()];
    for (int i = 0; i < flat.length; i++) {
      flat[i] = all.get(i);
    }
    return flat;
  }
}
