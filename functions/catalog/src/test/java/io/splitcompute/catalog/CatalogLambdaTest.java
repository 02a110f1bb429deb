package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The catalog as Lambda runs it: HTTP API events in payload format 2.0. */
final class CatalogLambdaTest {

  @TempDir static Path folder;

  private static RunningCatalog catalog;
  private static APIGatewayV2HTTPEventFunction function;

  @BeforeAll
  static void start() throws Exception {
    catalog = RunningCatalog.start(folder, Map.of());
    function = new APIGatewayV2HTTPEventFunction(catalog.context);
  }

  @AfterAll
  static void stop() throws Exception {
    function.close();
    catalog.close();
  }

  @Test
  void shouldServeTheManifestByteForByte() throws Exception {
    APIGatewayV2HTTPResponse response =
        answer("GET", "/v1/models/gpt2-plain/manifest", null, false);

    assertEquals(200, response.getStatusCode());
    byte[] body =
        response.getIsBase64Encoded()
            ? Base64.getDecoder().decode(response.getBody())
            : response.getBody().getBytes(java.nio.charset.StandardCharsets.UTF_8);
    assertArrayEquals(catalog.manifest.bytes(), body);
  }

  @Test
  void shouldSignShardsFromABodyThatTheGatewayEncoded() throws Exception {
    String sha256 = catalog.manifest.unit("final").variant("f32").sha256();
    String body = "{\"shards\": [\"" + sha256 + "\"]}";
    String encoded =
        Base64.getEncoder().encodeToString(body.getBytes(java.nio.charset.StandardCharsets.UTF_8));

    APIGatewayV2HTTPResponse response =
        answer("POST", "/v1/models/gpt2-plain/shards", encoded, true);

    assertEquals(200, response.getStatusCode());
    assertFalse(response.getIsBase64Encoded());
    String url =
        RunningCatalog.JSON.readTree(response.getBody()).path("urls").get(0).path("url").asText();
    assertTrue(url.contains(sha256) && url.contains("X-Amz-Signature"), url);
  }

  @Test
  void shouldAnswerProblemsAsText() throws Exception {
    APIGatewayV2HTTPResponse response = answer("GET", "/v1/models/unknown", null, false);

    assertEquals(404, response.getStatusCode());
    assertFalse(response.getIsBase64Encoded());
    assertTrue(
        RunningCatalog.JSON
            .readTree(response.getBody())
            .path("type")
            .asText()
            .endsWith("model-not-found"));
  }

  private static APIGatewayV2HTTPResponse answer(
      String method, String path, @Nullable String body, boolean base64) {
    APIGatewayV2HTTPEvent event = new APIGatewayV2HTTPEvent();
    event.setVersion("2.0");
    event.setRouteKey("$default");
    event.setRawPath(path);
    event.setRawQueryString("");
    event.setHeaders(
        new HashMap<>(Map.of("content-type", "application/json", "host", "api.example")));
    event.setBody(body);
    event.setIsBase64Encoded(base64);
    event.setRequestContext(
        APIGatewayV2HTTPEvent.RequestContext.builder()
            .withStage("$default")
            .withRequestId("request-1")
            .withHttp(
                APIGatewayV2HTTPEvent.RequestContext.Http.builder()
                    .withMethod(method)
                    .withPath(path)
                    .withProtocol("HTTP/1.1")
                    .withSourceIp("192.0.2.1")
                    .withUserAgent("test")
                    .build())
            .build());
    return function.handleRequest(event, null);
  }
}
