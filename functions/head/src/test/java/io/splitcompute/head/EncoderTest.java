package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Encoders of BERT's type, from text, at every cut, against what transformers computed. */
final class EncoderTest {

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start("bert-mean", "bert-cls-f16-prefixed");
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @ParameterizedTest
  @CsvSource({"bert-mean", "bert-cls-f16-prefixed"})
  void shouldHandOverTheActivationsOfEveryCut(String model) throws Exception {
    Fixture fixture = Fixture.read(model, "expected.safetensors");
    for (int cut = 1; cut <= fixture.layers(); cut++) {
      ReadMessage message = head.activations(model, texts(model), cut);

      assertArrayEquals(fixture.tokens(), message.tokens());
      assertArrayEquals(fixture.lengths(), message.lengths());
      Difference.assertWithin(1e-4, fixture.hidden(cut), message.hidden(), model + " cut " + cut);
    }
  }

  @ParameterizedTest
  @CsvSource({"bert-mean", "bert-cls-f16-prefixed"})
  void shouldAnswerTheModelsOwnEmbeddings(String model) throws Exception {
    Fixture fixture = Fixture.read(model, "expected.safetensors");

    JsonNode answer = RunningHead.json(head.embed(Map.of("model", model, "input", texts(model))));

    assertEquals(fixture.lengths().length, answer.path("embeddings").size(), answer.toString());
    Difference.assertWithin(
        1e-4, fixture.floats("embedding"), FixtureTest.embeddings(answer), model);
  }

  private static List<String> texts(String model) throws Exception {
    List<String> texts = new ArrayList<>();
    RunningHead.JSON
        .readTree(Fixture.FOLDER.resolve(model).resolve("texts.json").toFile())
        .forEach(text -> texts.add(text.textValue()));
    return texts;
  }
}
