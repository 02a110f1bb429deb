package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import com.fasterxml.jackson.databind.JsonNode;
import io.micronaut.context.ApplicationContext;
import io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.head.model.Heads;
import java.util.Base64;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * The head as Lambda runs it, with all models that are published: HTTP API events in payload format
 * 2.0.
 */
final class LambdaTest {

  private static final String BODY =
      "{\"model\":\"gpt2-plain\",\"input\":[[1,2,3]],\"cut\":2,\"dtype\":\"f32\"}";

  private static APIGatewayV2HTTPEventFunction function;

  @BeforeAll
  static void start() throws Exception {
    ApplicationContext context =
        ApplicationContext.builder()
            .properties(
                Map.of("splitcompute.weights", "file:" + ShardedFixtures.with("gpt2-plain")))
            .start();
    function = new APIGatewayV2HTTPEventFunction(context);
    while (!context.getBean(Heads.class).ready()) {
      Thread.sleep(10);
    }
  }

  @AfterAll
  static void stop() throws Exception {
    function.close();
  }

  @Test
  void shouldAnswerActivationsInBase64() throws Exception {
    APIGatewayV2HTTPResponse response =
        answer(GatewayEvent.of(BODY, false, Map.of("accept", ActivationsMessage.MEDIA_TYPE)));

    assertEquals(200, response.getStatusCode());
    assertTrue(response.getIsBase64Encoded());
    assertEquals(ActivationsMessage.MEDIA_TYPE, header(response, "content-type"));
    ReadMessage message = ReadMessage.of(Base64.getDecoder().decode(response.getBody()));
    assertEquals(3 * 48, message.hidden().length);
  }

  @Test
  void shouldReadABodyThatTheGatewayEncoded() throws Exception {
    String encoded = Base64.getEncoder().encodeToString(BODY.getBytes(UTF_8));

    APIGatewayV2HTTPResponse response = answer(GatewayEvent.of(encoded, true, Map.of()));

    assertEquals(200, response.getStatusCode());
    assertEquals(ActivationsMessage.MEDIA_TYPE, header(response, "content-type"));
  }

  @Test
  void shouldAnswerEmbeddingsAsText() throws Exception {
    APIGatewayV2HTTPResponse response =
        answer(GatewayEvent.of("{\"model\":\"gpt2-plain\",\"input\":[[1]]}", false, Map.of()));

    assertEquals(200, response.getStatusCode());
    assertFalse(response.getIsBase64Encoded());
    JsonNode answer = RunningHead.JSON.readTree(response.getBody());
    assertEquals(48, answer.path("embeddings").get(0).size());
  }

  @Test
  void shouldTakeSeveralValuesOfOneHeader() throws Exception {
    // The gateway joins the values of a repeated header with commas.
    APIGatewayV2HTTPResponse response =
        answer(
            GatewayEvent.of(
                BODY, false, Map.of("accept", "text/html," + ActivationsMessage.MEDIA_TYPE)));

    assertEquals(ActivationsMessage.MEDIA_TYPE, header(response, "content-type"));
  }

  @Test
  void shouldAnswerEveryValueOfAHeader() throws Exception {
    APIGatewayV2HTTPResponse response =
        answer(GatewayEvent.of(BODY, false, Map.of("origin", "https://site.example")));

    String exposed = header(response, "access-control-expose-headers");
    assertTrue(exposed.contains("Retry-After") && exposed.contains("ETag"), exposed);
  }

  @Test
  void shouldBeHealthy() throws Exception {
    APIGatewayV2HTTPEvent event = GatewayEvent.of("", false, Map.of());
    event.setRouteKey("GET /health");
    event.setRawPath("/health");
    event.getRequestContext().getHttp().setPath("/health");
    event.getRequestContext().getHttp().setMethod("GET");

    assertEquals(200, answer(event).getStatusCode());
  }

  @Test
  void shouldIgnoreAQueryString() throws Exception {
    APIGatewayV2HTTPEvent event = GatewayEvent.of(BODY, false, Map.of());
    event.setRawQueryString("a=1&a=2");
    event.setQueryStringParameters(Map.of("a", "1,2"));

    assertEquals(200, answer(event).getStatusCode());
  }

  @Test
  void shouldAnswerProblems() throws Exception {
    APIGatewayV2HTTPResponse invalid = answer(GatewayEvent.of("{", false, Map.of()));
    assertEquals(400, invalid.getStatusCode());
    assertEquals("application/problem+json", header(invalid, "content-type"));
    assertFalse(invalid.getIsBase64Encoded());
    assertTrue(
        RunningHead.JSON
            .readTree(invalid.getBody())
            .path("type")
            .asText()
            .endsWith("invalid-request"));

    APIGatewayV2HTTPEvent elsewhere = GatewayEvent.of(BODY, false, Map.of());
    elsewhere.setRawPath("/v1/nothing");
    elsewhere.getRequestContext().getHttp().setPath("/v1/nothing");
    APIGatewayV2HTTPResponse missing = answer(elsewhere);
    assertEquals(404, missing.getStatusCode());
    assertEquals("application/problem+json", header(missing, "content-type"));
  }

  /** The event goes through JSON both ways, as the runtime hands it over. */
  private static APIGatewayV2HTTPResponse answer(APIGatewayV2HTTPEvent event) {
    return function.handleRequest(event, new TestContext());
  }

  /** Payload format 2.0 has one value for each header, and nothing else is read of an answer. */
  private static String header(APIGatewayV2HTTPResponse response, String name) {
    return response.getHeaders().entrySet().stream()
        .filter(header -> header.getKey().equalsIgnoreCase(name))
        .map(Map.Entry::getValue)
        .findFirst()
        .orElse("");
  }
}
