package io.splitcompute.infra.lambda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.infra.s3.CloudS3;
import io.splitcompute.infra.s3.SmallModel;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.store.Publisher;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** The command line of the head's image as Lambda runs it, with an HTTP API's events. */
@Timeout(180)
@EnabledOnOs(value = OS.LINUX, disabledReason = "the image is Linux")
@ExtendWith(CloudS3.Extension.class)
final class HeadFunctionTest {

  private static final JsonMapper JSON = new JsonMapper();
  private static final String ACTIVATIONS = "application/vnd.splitcompute.activations";
  private static final String AT_CUT =
      "{\"model\":\"gpt2-plain\",\"input\":[[1,2,3]],\"cut\":2,\"dtype\":\"f32\"}";
  private static final String ALONE = "{\"model\":\"gpt2-plain\",\"input\":[[1,2,3]]}";
  private static final int HIDDEN_SIZE = 48;

  @TempDir private static Path folder;
  private static FunctionFolder head;
  private static Map<String, String> environment;

  @BeforeAll
  static void layOut(CloudS3 s3) throws Exception {
    head = FunctionFolder.head(folder.resolve("app"));
    String bucket = s3.bucket();
    SmallModel model = SmallModel.in(folder.resolve("store"));
    new Publisher(s3.client(), bucket).publish(model.store(), SmallModel.NAME, (d, all) -> {});
    environment =
        new SamTemplate(CloudS3.LOCAL_ORIGIN).environment("Head", s3, bucket, s3.bucket());
  }

  @Test
  void shouldTakeOneEventAtATime(@TempDir Path temporary) throws Exception {
    try (FunctionHost function = FunctionHost.start(head, environment, 1, temporary)) {
      assertActivations(function.invoke(event(AT_CUT).json()));
      // As the gateway does where it does not take a body for text.
      assertActivations(function.invoke(event(AT_CUT).json(true)));
      assertEmbedding(function.invoke(event(ALONE).json()));
      assertEmbedding(function.invoke(event(ALONE).json(true)));

      JsonNode problem = JSON.readTree(function.invoke(event("{\"a secret").json()));
      assertEquals(400, problem.path("statusCode").asInt(), problem.toString());
      assertEquals(
          "application/problem+json", problem.path("headers").path("Content-Type").asText());
      assertFalse(function.log().contains("a secret"), function.log());
    }
  }

  @Test
  void shouldTakeFourEventsAtOnce(@TempDir Path temporary) throws Exception {
    ExecutorService callers = Executors.newFixedThreadPool(4);
    try (FunctionHost function = FunctionHost.start(head, environment, 4, temporary)) {
      List<Callable<byte[]>> calls = new ArrayList<>();
      for (int i = 0; i < 6; i++) {
        calls.add(() -> function.invoke(event(AT_CUT).json()));
        calls.add(() -> function.invoke(event(ALONE).json()));
      }
      List<Future<byte[]>> answers = callers.invokeAll(calls);
      for (int i = 0; i < answers.size(); i += 2) {
        assertActivations(answers.get(i).get());
        assertEmbedding(answers.get(i + 1).get());
      }
    } finally {
      callers.shutdownNow();
    }
  }

  private static HttpApiEvent event(String body) {
    return new HttpApiEvent(
        "POST /v1/embed",
        "POST",
        URI.create("/v1/embed"),
        Map.of(),
        Map.of("content-type", "application/json", "host", "api.example"),
        body.getBytes(UTF_8));
  }

  private static void assertActivations(byte[] payload) throws IOException {
    JsonNode answer = JSON.readTree(payload);
    assertEquals(200, answer.path("statusCode").asInt(), answer.toString());
    assertTrue(answer.path("isBase64Encoded").asBoolean());
    assertEquals(ACTIVATIONS, answer.path("headers").path("Content-Type").asText());
    byte[] body = Base64.getDecoder().decode(answer.path("body").asText());
    SafetensorsFile message = SafetensorsFile.parse(ByteBuffer.wrap(body));
    assertEquals(3 * HIDDEN_SIZE * 4, message.tensor("hidden").bytes().remaining());
  }

  private static void assertEmbedding(byte[] payload) throws IOException {
    JsonNode answer = JSON.readTree(payload);
    assertEquals(200, answer.path("statusCode").asInt(), answer.toString());
    assertFalse(answer.path("isBase64Encoded").asBoolean());
    JsonNode body = JSON.readTree(answer.path("body").asText());
    assertEquals(HIDDEN_SIZE, body.path("embeddings").path(0).size());
  }
}
