package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the head refuses, and in which words: a client can only mend what it is told. */
final class RefusalTest {

  private static final Set<String> PARSERS_WORDS =
      Set.of("Exception", "jackson", "JsonToken", "Unexpected character", "line:", "at [", "io.");

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head =
        RunningHead.start(
            Map.of(
                "splitcompute.limits.max-inputs",
                8,
                "splitcompute.limits.max-tokens-per-request",
                100),
            "gpt2-plain");
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  static Stream<Arguments> invalid() {
    List<List<Integer>> one = List.of(List.of(1, 2, 3));
    return Stream.of(
        Arguments.of("no model", Map.of("input", one), "model"),
        Arguments.of("no input", Map.of("model", "gpt2-plain"), "input"),
        Arguments.of("model of another type", body("model", 3), "model"),
        Arguments.of("empty list", body("input", List.of()), "input"),
        Arguments.of("empty sequence", body("input", List.of(List.of())), "input"),
        Arguments.of("a number", body("input", 3), "input"),
        Arguments.of("an object", body("input", Map.of()), "input"),
        Arguments.of("one flat list of tokens", body("input", List.of(1, 2)), "input"),
        Arguments.of("texts and tokens", body("input", List.of("a", List.of(1))), "input"),
        Arguments.of("tokens and texts", body("input", List.of(List.of(1), "a")), "input"),
        Arguments.of("a token as text", body("input", List.of(List.of("1"))), "input"),
        Arguments.of("a fraction of a token", body("input", List.of(List.of(1.5))), "input"),
        Arguments.of("a negative token", body("input", List.of(List.of(-1))), "input"),
        Arguments.of("a token past the vocabulary", body("input", List.of(List.of(257))), "input"),
        Arguments.of("a token past int", body("input", List.of(List.of(1L << 40))), "input"),
        Arguments.of("too long", body("input", List.of(Collections.nCopies(65, 1))), "input"),
        Arguments.of("too many inputs", body("input", Collections.nCopies(9, List.of(1))), "input"),
        Arguments.of(
            "too many tokens",
            body("input", Collections.nCopies(2, Collections.nCopies(60, 1))),
            "input"),
        Arguments.of("text without a tokenizer", body("input", "a text"), "input"),
        Arguments.of("cut below", body("cut", -1), "cut"),
        Arguments.of("cut above", body("cut", 4), "cut"),
        Arguments.of("cut as text", body("cut", "2"), "cut"),
        Arguments.of("cut as a fraction", body("cut", 1.5), "cut"),
        Arguments.of("unknown pooling", body("pooling", "max"), "pooling"),
        Arguments.of("normalize as text", body("normalize", "true"), "normalize"),
        Arguments.of("unknown dtype", body("dtype", "bf16"), "dtype"),
        Arguments.of("a field unknown", body("pool", "mean"), "pool"));
  }

  private static Map<String, Object> body(String field, Object value) {
    Map<String, Object> body = new java.util.LinkedHashMap<>();
    body.put("model", "gpt2-plain");
    body.put("input", List.of(List.of(1, 2, 3)));
    body.put(field, value);
    return body;
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("invalid")
  void shouldNameTheFieldOfAnInvalidBody(String name, Map<String, ?> body, String field)
      throws Exception {
    HttpResponse<byte[]> response = head.embed(body);

    JsonNode problem = assertProblem(response, 400, "invalid-request");
    assertEquals(field, problem.path("field").asText());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"model\":\"gpt2-plain\",\"input\":[[1]]} trailing",
        "{\"model\":\"gpt2-plain\",\"model\":\"x\",\"input\":[[1]]}",
        "{\"model\":\"gpt2-plain\",\"input\":[[1]],\"cut\":NaN}",
        "{'model':'gpt2-plain'}"
      })
  void shouldRefuseWhatIsNoJsonObjectWithoutAParsersWords(String body) throws Exception {
    HttpResponse<byte[]> response =
        head.embed(body.getBytes(UTF_8), "Content-Type", "application/json");

    assertProblem(response, 400, "invalid-request");
  }

  @Test
  void shouldRefuseDeeplyNestedJson() throws Exception {
    String body = "{\"model\":\"gpt2-plain\",\"input\":" + "[".repeat(50_000);

    HttpResponse<byte[]> response =
        head.embed(body.getBytes(UTF_8), "Content-Type", "application/json");

    assertProblem(response, 400, "invalid-request");
  }

  @Test
  void shouldRefuseBytesThatAreNoUtf8() throws Exception {
    byte[] body = "{\"model\":\"gpt2-plain\",\"input\":\"x\"}".getBytes(UTF_8);
    body[body.length - 3] = (byte) 0xff;

    HttpResponse<byte[]> response = head.embed(body, "Content-Type", "application/json");

    assertProblem(response, 400, "invalid-request");
  }

  @ParameterizedTest
  @ValueSource(strings = {"nothing-such", "../gpt2-plain", "a b", "", "gpt2-plain/../x", "\u0000"})
  void shouldAnswer404ForAnUnknownModel(String model) throws Exception {
    HttpResponse<byte[]> response =
        head.embed(Map.of("model", model, "input", List.of(List.of(1))));

    assertProblem(response, 404, "model-not-found");
  }

  @Test
  void shouldAnswer415ForAnotherMediaType() throws Exception {
    HttpResponse<byte[]> response =
        head.embed("<a/>".getBytes(UTF_8), "Content-Type", "application/xml");

    assertProblem(response, 415, "unsupported-media-type");
  }

  @Test
  void shouldAnswer406ForATypeItDoesNotHave() throws Exception {
    HttpResponse<byte[]> response = head.embed(body("cut", 1), "Accept", "text/html");

    assertProblem(response, 406, "not-acceptable");
  }

  @Test
  void shouldAnswer406ForActivationsAskedAsJson() throws Exception {
    HttpResponse<byte[]> response = head.embed(body("cut", 1), "Accept", "application/json");

    assertProblem(response, 406, "not-acceptable");
  }

  @Test
  void shouldAnswer404ForAnUnknownAddressAnd405ForAnotherMethod() throws Exception {
    assertProblem(head.send("GET", "/v1/nothing"), 404, "not-found");
    assertProblem(head.send("GET", "/v1/embed"), 405, "method-not-allowed");
  }

  private static JsonNode assertProblem(HttpResponse<byte[]> response, int status, String slug)
      throws Exception {
    String text = new String(response.body(), UTF_8);
    assertEquals(status, response.statusCode(), text);
    assertEquals("application/problem+json", RunningHead.type(response), text);
    JsonNode problem = RunningHead.json(response);
    assertTrue(problem.path("type").asText().endsWith("/" + slug), text);
    assertEquals(status, problem.path("status").asInt());
    assertFalse(problem.path("title").asText().isEmpty());
    assertFalse(problem.path("detail").asText().isEmpty());
    for (String words : PARSERS_WORDS) {
      assertFalse(text.contains(words), text);
    }
    return problem;
  }
}
