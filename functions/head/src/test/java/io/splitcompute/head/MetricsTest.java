package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.head.metrics.MetricsServer;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What the head tells of itself, and where. */
final class MetricsTest {

  @Test
  void shouldTellOfBatchesOnAPortOfTheirOwn() throws Exception {
    try (RunningHead head =
        RunningHead.start(Map.of("splitcompute.metrics-port", 0), "gpt2-plain")) {
      HttpResponse<byte[]> activations =
          head.embed(
              Map.of("model", "gpt2-plain", "input", List.of(List.of(1, 2, 3)), "cut", 2),
              "X-Request-Id",
              "mine");
      assertEquals(200, activations.statusCode());
      HttpResponse<byte[]> embeddings =
          head.post("/v1/embeddings", Map.of("model", "gpt2-plain", "input", List.of(1)));
      assertEquals(200, embeddings.statusCode());
      // A gauge of something that nobody else keeps is no number any more after a collection.
      System.gc();
      int port = head.context().getBean(MetricsServer.class).port();

      String metrics = get(port, "/metrics").body();

      assertTrue(metrics.contains("splitcompute_layers_total{model=\"gpt2-plain\"} 5.0"), metrics);
      assertTrue(
          metrics.contains("splitcompute_token_layers_total{model=\"gpt2-plain\"} 9.0"), metrics);
      int bytes = activations.body().length + embeddings.body().length;
      assertTrue(
          metrics.contains("splitcompute_response_bytes_total{by=\"body\"} " + bytes + ".0"),
          metrics);
      assertTrue(metrics.contains("splitcompute_refusals_total 0.0"), metrics);
      assertFalse(metrics.contains("NaN"), metrics);
      for (String meter :
          List.of(
              "splitcompute_queue_wait_seconds_count",
              "splitcompute_queue_requests",
              "splitcompute_queue_tokens",
              "splitcompute_request_cut_count",
              "splitcompute_batch_tokens_count",
              "splitcompute_device_busy_seconds_sum",
              "splitcompute_weights_bytes",
              "splitcompute_start_seconds",
              "splitcompute_boot_seconds",
              "splitcompute_ready_seconds",
              "splitcompute_arrays",
              "jvm_memory_used_bytes")) {
        assertTrue(metrics.contains(meter), meter);
      }
      assertEquals(404, head.send("GET", "/metrics").statusCode());
    }
  }

  /** The API's own port says whether, this one says what and why. */
  @Test
  void shouldTellOfItsHealthInDetailOnThatPortAlone() throws Exception {
    try (RunningHead head =
        RunningHead.start(Map.of("splitcompute.metrics-port", 0), "gpt2-plain")) {
      HttpResponse<String> details =
          get(head.context().getBean(MetricsServer.class).port(), "/health");

      assertEquals(200, details.statusCode());
      JsonNode health = RunningHead.JSON.readTree(details.body());
      assertEquals("UP", health.path("status").asText());
      assertTrue(health.path("models").path("gpt2-plain").asText().matches("[0-9a-f]{64}"));
      assertEquals(
          "{\"status\":\"UP\"}",
          new String(head.send("GET", "/health").body(), StandardCharsets.UTF_8));
    }
  }

  private static HttpResponse<String> get(int port, String path) throws Exception {
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).build(),
            HttpResponse.BodyHandlers.ofString());
  }

  @Test
  void shouldAnswerWithTheRequestsId() throws Exception {
    try (RunningHead head = RunningHead.start("gpt2-plain")) {
      Map<String, Object> body =
          Map.of("model", "gpt2-plain", "input", List.of(List.of(1)), "cut", 0);
      assertEquals(
          "caller-1",
          head.embed(body, "X-Request-Id", "caller-1")
              .headers()
              .firstValue("X-Request-Id")
              .orElse(""));
      assertEquals(
          36,
          head.embed(body, "X-Request-Id", "not {fit}")
              .headers()
              .firstValue("X-Request-Id")
              .orElse("")
              .length());
      assertTrue(head.embed(Map.of()).headers().firstValue("X-Request-Id").isPresent());
    }
  }
}
