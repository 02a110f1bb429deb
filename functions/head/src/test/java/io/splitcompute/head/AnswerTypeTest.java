package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.head.message.ActivationsLocation;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.s3.EmbeddedS3;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which of its three types the head answers, and by which way a large message goes. */
final class AnswerTypeTest {

  private static final String BOTH =
      ActivationsMessage.MEDIA_TYPE + ", " + ActivationsLocation.MEDIA_TYPE;

  @TempDir private static Path folder;
  private static EmbeddedS3 s3;
  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    s3 =
        EmbeddedS3.start(
            new EmbeddedS3.Options(
                folder, "127.0.0.1", 0, "test", "secret", List.of("activations"), List.of("*")));
    System.setProperty("aws.accessKeyId", "test");
    System.setProperty("aws.secretAccessKey", "secret");
    head =
        RunningHead.start(
            Map.of(
                "splitcompute.limits.max-response-bytes",
                4096,
                "splitcompute.activations-bucket",
                "activations",
                "splitcompute.s3-endpoint",
                s3.endpoint().toString(),
                "splitcompute.path-style",
                true),
            "gpt2-plain");
  }

  @AfterAll
  static void stop() throws Exception {
    head.close();
    s3.close();
    System.clearProperty("aws.accessKeyId");
    System.clearProperty("aws.secretAccessKey");
  }

  private static Map<String, Object> body(int cut, int tokens) {
    return Map.of(
        "model", "gpt2-plain", "input", List.of(Collections.nCopies(tokens, 7)), "cut", cut);
  }

  @Test
  void shouldAnswerEmbeddingsWithTheirRevisionAndLedgerWhenNothingElseIsAsked() throws Exception {
    HttpResponse<byte[]> response =
        head.embed(Map.of("model", "gpt2-plain", "input", List.of(List.of(1, 2), List.of(3))));

    assertEquals(200, response.statusCode());
    assertEquals("application/json", RunningHead.type(response));
    JsonNode answer = RunningHead.json(response);
    assertEquals("gpt2-plain", answer.path("model").asText());
    assertEquals(64, answer.path("revision").asText().length());
    assertEquals(3, answer.path("cut").asInt());
    assertEquals(2, answer.path("embeddings").size());
    assertEquals(48, answer.path("embeddings").get(0).size());
    assertEquals("[2,1]", answer.path("lengths").toString());
    assertEquals(3, answer.path("ledger").path("cloud").path("layers").asInt());
    double squares = 0;
    for (JsonNode x : answer.path("embeddings").get(0)) {
      squares += x.doubleValue() * x.doubleValue();
    }
    assertEquals(1, squares, 1e-5);
  }

  @Test
  void shouldTakeANameWithItsOwner() throws Exception {
    assertEquals(
        200,
        head.embed(Map.of("model", "someone/gpt2-plain", "input", List.of(List.of(1))))
            .statusCode());
  }

  @Test
  void shouldAnswerActivationsAtAnEarlierCutOrWithoutPoolingOrWhenAskedByName() throws Exception {
    Map<String, Object> unpooled =
        Map.of("model", "gpt2-plain", "input", List.of(List.of(1)), "pooling", "none");

    assertEquals(ActivationsMessage.MEDIA_TYPE, RunningHead.type(head.embed(body(1, 2))));
    assertEquals(ActivationsMessage.MEDIA_TYPE, RunningHead.type(head.embed(unpooled)));
    assertEquals(
        ActivationsMessage.MEDIA_TYPE,
        RunningHead.type(head.embed(body(3, 2), "Accept", ActivationsMessage.MEDIA_TYPE)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"*/*", "application/*", "text/html, */*;q=0.8", "application/json, */*"})
  void shouldTakeTheWildcardsThatClientsSendByDefault(String accept) throws Exception {
    HttpResponse<byte[]> embeddings = head.embed(body(3, 2), "Accept", accept);
    HttpResponse<byte[]> activations = head.embed(body(1, 2), "Accept", accept);

    assertEquals("application/json", RunningHead.type(embeddings));
    assertEquals(ActivationsMessage.MEDIA_TYPE, RunningHead.type(activations));
  }

  @Test
  void shouldTellWhereALargeMessageIs() throws Exception {
    HttpResponse<byte[]> response = head.embed(body(2, 60), "Accept", BOTH);

    assertEquals(200, response.statusCode());
    assertEquals(ActivationsLocation.MEDIA_TYPE, RunningHead.type(response));
    JsonNode location = RunningHead.json(response);
    byte[] message = fetch(location.path("url").asText());
    assertEquals(location.path("bytes").asInt(), message.length);
    assertEquals(
        location.path("sha256").asText(),
        HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(message)));
    assertTrue(location.path("expires").asText().endsWith("Z"));
    assertEquals(60, ReadMessage.of(message).tokens().length);
  }

  @Test
  void shouldRedirectToALargeMessageWhoeverDoesNotAskForItsLocation() throws Exception {
    HttpResponse<byte[]> response = head.embed(body(2, 60));

    assertEquals(303, response.statusCode());
    byte[] message = fetch(response.headers().firstValue("Location").orElseThrow());
    assertArrayEquals(new int[] {60}, ReadMessage.of(message).lengths());
  }

  @Test
  void shouldRefuseEmbeddingsThatWouldNotFitAResponse() throws Exception {
    HttpResponse<byte[]> response =
        head.embed(Map.of("model", "gpt2-plain", "input", Collections.nCopies(30, List.of(1))));

    assertEquals(400, response.statusCode());
    assertEquals("input", RunningHead.json(response).path("field").asText());
  }

  @Test
  void shouldQuantiseActivationsToI8() throws Exception {
    float[] exact = ReadMessage.of(embedded("f32")).hidden();
    float[] quantised = ReadMessage.of(embedded("i8")).hidden();

    Difference.assertWithin(1.0 / 254 + 1e-6, exact, quantised, "i8");
  }

  private static byte[] embedded(String dtype) throws Exception {
    return head.embed(
            Map.of(
                "model",
                "gpt2-plain",
                "input",
                List.of(List.of(1, 2, 3)),
                "cut",
                2,
                "dtype",
                dtype))
        .body();
  }

  private static byte[] fetch(String url) throws Exception {
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(URI.create(url)).build(),
            HttpResponse.BodyHandlers.ofByteArray())
        .body();
  }
}
