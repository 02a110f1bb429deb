package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code /v1/embeddings}, as clients of OpenAI's API call it and read it. */
final class EmbeddingsTest {

  private static final String PATH = "/v1/embeddings";
  private static final String MODEL = "bert-mean";
  private static final int MOST_BYTES = 50_000;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head =
        RunningHead.start(
            Map.of("splitcompute.limits.max-response-bytes", MOST_BYTES), MODEL, "gpt2-plain");
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @Test
  void shouldAnswerWhatEmbedAnswersInTheShapeOfAList() throws Exception {
    List<String> texts = List.of("the quick fox", "a", "another text, longer than the others");
    JsonNode embed = RunningHead.json(head.embed(Map.of("model", MODEL, "input", texts)));

    JsonNode answer = answer(Map.of("model", MODEL, "input", texts));

    assertEquals("list", answer.path("object").asText());
    assertEquals(MODEL, answer.path("model").asText());
    assertEquals(3, answer.path("data").size());
    int tokens = 0;
    for (int i = 0; i < 3; i++) {
      JsonNode one = answer.path("data").get(i);
      assertEquals("embedding", one.path("object").asText());
      assertEquals(i, one.path("index").intValue());
      assertTrue(one.path("index").isInt(), "the index is there, 0 as well");
      assertArrayEquals(floats(embed.path("embeddings").get(i)), floats(one.path("embedding")));
      tokens += embed.path("lengths").get(i).intValue();
    }
    assertEquals(tokens, answer.path("usage").path("prompt_tokens").intValue());
    assertEquals(tokens, answer.path("usage").path("total_tokens").intValue());
  }

  @Test
  void shouldTakeEveryShapeOfInput() throws Exception {
    List<Integer> first = List.of(5, 6, 7);
    List<Integer> second = List.of(8, 9);
    JsonNode both = answer(Map.of("model", "gpt2-plain", "input", List.of(first, second)));

    JsonNode flat = answer(Map.of("model", "gpt2-plain", "input", first));
    JsonNode text = answer(Map.of("model", MODEL, "input", "a text"));

    assertEquals(2, both.path("data").size());
    assertEquals(1, flat.path("data").size());
    assertArrayEquals(vector(both, 0), vector(flat, 0));
    assertEquals(3, flat.path("usage").path("prompt_tokens").intValue());
    assertArrayEquals(
        vector(answer(Map.of("model", MODEL, "input", List.of("a text"))), 0), vector(text, 0));
  }

  @Test
  void shouldWriteTheSameVectorInBase64() throws Exception {
    Map<String, Object> body = new LinkedHashMap<>(Map.of("model", MODEL, "input", "a text"));
    float[] floats = vector(answer(body), 0);
    body.put("encoding_format", "base64");

    JsonNode embedding = answer(body).path("data").get(0).path("embedding");

    ByteBuffer bytes =
        ByteBuffer.wrap(Base64.getDecoder().decode(embedding.textValue()))
            .order(ByteOrder.LITTLE_ENDIAN);
    float[] decoded = new float[bytes.remaining() / Float.BYTES];
    bytes.asFloatBuffer().get(decoded);
    assertArrayEquals(floats, decoded);
  }

  @ParameterizedTest
  @CsvSource({"float, 60", "base64, 156"})
  void shouldAnswerAsManyVectorsAsFitTheirEncoding(String encoding, int most) throws Exception {
    Map<String, Object> body =
        new LinkedHashMap<>(Map.of("model", MODEL, "encoding_format", encoding));

    body.put("input", Collections.nCopies(most, "a"));
    HttpResponse<byte[]> whole = head.post(PATH, body);
    body.put("input", Collections.nCopies(most + 1, "a"));
    HttpResponse<byte[]> refused = head.post(PATH, body);

    assertEquals(200, whole.statusCode());
    assertEquals(most, RunningHead.json(whole).path("data").size());
    assertTrue(whole.body().length <= MOST_BYTES, whole.body().length + " bytes");
    assertEquals(400, refused.statusCode());
    String detail = RunningHead.json(refused).path("detail").asText();
    assertTrue(detail.contains("larger than the " + MOST_BYTES + " bytes"), detail);
    assertTrue(detail.contains("send fewer inputs at once"), detail);
    assertEquals(encoding.equals("float"), detail.contains("encoding_format: base64"), detail);
  }

  @Test
  void shouldCutToTheAskedDimensionsAndNormaliseWhatIsLeft() throws Exception {
    float[] whole = vector(answer(Map.of("model", MODEL, "input", "a text")), 0);

    float[] cut = vector(answer(Map.of("model", MODEL, "input", "a text", "dimensions", 10)), 0);

    assertEquals(10, cut.length);
    double norm = 0;
    for (int i = 0; i < 10; i++) {
      norm += (double) whole[i] * whole[i];
    }
    for (int i = 0; i < 10; i++) {
      assertEquals(whole[i] / Math.sqrt(norm), cut[i], 1e-6);
    }
  }

  @Test
  void shouldTakeTheNameOfACallersUser() throws Exception {
    Map<String, String> body =
        Map.of("model", MODEL, "input", "a text", "encoding_format", "float", "user", "someone");

    assertEquals(1, answer(body).path("data").size());
  }

  static Stream<Arguments> invalid() {
    return Stream.of(
        Arguments.of("input", List.of()),
        Arguments.of("input", List.of(List.of())),
        Arguments.of("input", List.of(1, "a")),
        Arguments.of("input", List.of(1, List.of(2))),
        Arguments.of("input", List.of(1.5)),
        Arguments.of("input", List.of(-1)),
        Arguments.of("input", Map.of()),
        Arguments.of("input", Collections.nCopies(200, "a text")),
        Arguments.of("encoding_format", "hex"),
        Arguments.of("dimensions", 0),
        Arguments.of("dimensions", -1),
        Arguments.of("dimensions", 10_000),
        Arguments.of("dimensions", "10"),
        Arguments.of("cut", 1));
  }

  @ParameterizedTest(name = "{0}: {1}")
  @MethodSource("invalid")
  void shouldSayWhatIsWrongWhereOpenAisClientsLook(String field, Object value) throws Exception {
    Map<String, Object> body = new LinkedHashMap<>(Map.of("model", MODEL, "input", "a text"));
    body.put(field, value);

    HttpResponse<byte[]> response = head.post(PATH, body);

    JsonNode problem = RunningHead.json(response);
    assertEquals(400, response.statusCode(), problem.toString());
    assertEquals("application/problem+json", RunningHead.type(response));
    assertFalse(problem.path("detail").asText().isEmpty());
    assertEquals(problem.path("detail"), problem.path("error").path("message"));
    assertEquals(field, problem.path("error").path("param").asText());
    assertEquals("invalid_request_error", problem.path("error").path("type").asText());
    assertEquals("invalid_request", problem.path("error").path("code").asText());
  }

  @Test
  void shouldSayInBothWaysThatThereIsNoSuchModel() throws Exception {
    HttpResponse<byte[]> response = head.post(PATH, Map.of("model", "none", "input", "a text"));

    JsonNode problem = RunningHead.json(response);
    assertEquals(404, response.statusCode());
    assertTrue(problem.path("type").asText().endsWith("/model-not-found"), problem.toString());
    assertEquals("model_not_found", problem.path("error").path("code").asText());
    assertTrue(problem.path("error").has("param"), problem.toString());
  }

  @Test
  void shouldSayWhatTheFrameworkRefusesWhereOpenAisClientsLook() throws Exception {
    HttpResponse<byte[]> response = head.send("GET", PATH);

    JsonNode problem = RunningHead.json(response);
    assertEquals(405, response.statusCode());
    assertEquals(problem.path("detail"), problem.path("error").path("message"));
  }

  private static JsonNode answer(Map<String, ?> body) throws Exception {
    HttpResponse<byte[]> response = head.post(PATH, body);
    JsonNode answer = RunningHead.json(response);
    assertEquals(200, response.statusCode(), answer.toString());
    assertEquals("application/json", RunningHead.type(response));
    return answer;
  }

  private static float[] vector(JsonNode answer, int index) {
    return floats(answer.path("data").get(index).path("embedding"));
  }

  private static float[] floats(JsonNode numbers) {
    float[] floats = new float[numbers.size()];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = numbers.get(i).floatValue();
    }
    return floats;
  }
}
