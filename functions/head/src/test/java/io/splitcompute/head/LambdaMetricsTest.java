package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.micronaut.context.ApplicationContext;
import io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction;
import io.splitcompute.head.model.Heads;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What the head tells of itself where nobody can ask: with each answer on Lambda, in CloudWatch's
 * embedded metric format.
 */
final class LambdaMetricsTest {

  private final PrintStream stdout = System.out;
  private final ByteArrayOutputStream written = new ByteArrayOutputStream();
  private APIGatewayV2HTTPEventFunction function;

  @BeforeEach
  void start() throws Exception {
    ApplicationContext context =
        ApplicationContext.builder()
            .properties(
                Map.of(
                    "splitcompute.weights",
                    "file:" + ShardedFixtures.with("gpt2-plain"),
                    "aws.lambda.runtime.api",
                    "127.0.0.1:9001"))
            .start();
    function = new APIGatewayV2HTTPEventFunction(context);
    while (!context.getBean(Heads.class).ready()) {
      Thread.sleep(10);
    }
    System.setOut(new PrintStream(written, true, UTF_8));
  }

  @AfterEach
  void stop() throws Exception {
    System.setOut(stdout);
    function.close();
  }

  @Test
  void shouldTellWithEachAnswerWhatItCost() throws Exception {
    List<JsonNode> first =
        answer(200, "{\"model\":\"gpt2-plain\",\"input\":[[1,2,3]],\"cut\":2,\"dtype\":\"f32\"}");
    JsonNode ofModel = line(first, "layers");
    assertEquals("gpt2-plain", ofModel.path("model").asText());
    assertEquals(2, ofModel.path("layers").asDouble());
    assertEquals(6, ofModel.path("token.layers").asDouble());
    assertEquals(3, ofModel.path("batch.tokens").asDouble());
    assertEquals(2, ofModel.path("request.cut").asDouble());
    assertTrue(ofModel.path("device.busy").asDouble() > 0, ofModel.toString());
    assertTrue(ofModel.path("queue.wait").isNumber(), ofModel.toString());
    assertTrue(line(first, "response.bytes").path("response.bytes").asDouble() > 3 * 48 * 4);
    assertTrue(line(first, "start.seconds").path("phase").isTextual());

    // Once: the next answer tells of itself.
    List<JsonNode> second = answer(200, "{\"model\":\"gpt2-plain\",\"input\":[[1]],\"cut\":1}");
    assertEquals(1, line(second, "layers").path("layers").asDouble());
    assertTrue(second.stream().noneMatch(line -> line.has("start.seconds")), second.toString());
  }

  @Test
  void shouldTellNothingOfARequestThatIsRefused() throws Exception {
    answer(200, "{\"model\":\"gpt2-plain\",\"input\":[[1]],\"cut\":1}");

    List<JsonNode> lines =
        answer(400, "{\"model\":\"gpt2-plain\",\"input\":\"intimate\",\"cut\":99}");

    assertTrue(lines.stream().noneMatch(line -> line.has("layers")), lines.toString());
    assertFalse(lines.toString().contains("intimate"));
  }

  @Test
  void shouldWriteLinesAsCloudWatchReadsThem() throws Exception {
    for (JsonNode line : answer(200, "{\"model\":\"gpt2-plain\",\"input\":[[1],[2]],\"cut\":1}")) {
      JsonNode aws = line.path("_aws");
      assertTrue(aws.path("Timestamp").asLong() > 1_700_000_000_000L, line.toString());
      JsonNode directive = aws.path("CloudWatchMetrics").path(0);
      assertEquals("SplitCompute", directive.path("Namespace").asText());
      for (JsonNode dimension : directive.path("Dimensions").path(0)) {
        assertTrue(line.path(dimension.asText()).isTextual(), line.toString());
      }
      assertTrue(directive.path("Metrics").size() > 0, line.toString());
      for (JsonNode metric : directive.path("Metrics")) {
        JsonNode value = line.path(metric.path("Name").asText());
        assertTrue(value.isNumber() || value.isArray(), line.toString());
        assertTrue(
            List.of("Milliseconds", "Seconds", "Bytes", "Count")
                .contains(metric.path("Unit").asText()),
            line.toString());
      }
    }
  }

  /** The lines that an answer comes with. */
  private List<JsonNode> answer(int status, String body) throws Exception {
    written.reset();
    assertEquals(
        status,
        function
            .handleRequest(GatewayEvent.of(body, false, Map.of()), new TestContext())
            .getStatusCode());
    List<JsonNode> lines = new ArrayList<>();
    for (String line : written.toString(UTF_8).lines().toList()) {
      lines.add(RunningHead.JSON.readTree(line));
    }
    return lines;
  }

  private static JsonNode line(List<JsonNode> lines, String metric) {
    return lines.stream()
        .filter(line -> line.has(metric))
        .findFirst()
        .orElseThrow(() -> new AssertionError(metric + " is in none of " + lines));
  }
}
