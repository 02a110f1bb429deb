package io.splitcompute.infra;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * CDK starts the application by the command in {@code cdk.json}, with what the build has put there.
 */
final class ApplicationTest {

  @Test
  void shouldSynthesiseByTheCommandThatCdkRuns(@TempDir Path out) throws Exception {
    Process app = app(out, Map.of("head", "lambda", "headImage", "splitcompute/head:0.1.0"));
    String said = new String(app.getInputStream().readAllBytes(), UTF_8);

    assertEquals(0, app.waitFor(), said);
    for (String stack : new String[] {"Storage", "Api", "Site", "Observability"}) {
      assertTrue(Files.exists(out.resolve("SplitCompute" + stack + ".template.json")), said);
    }
  }

  @Test
  void shouldSayInOneLineWhatIsWrongWithASetting(@TempDir Path out) throws Exception {
    Process app = app(out, Map.of("head", "gpu"));
    String said = new String(app.getInputStream().readAllBytes(), UTF_8);

    assertEquals(2, app.waitFor(), said);
    assertTrue(
        said.contains("splitcompute: head must be one of lambda, ecs-gpu, lambda-gpu"), said);
  }

  private static Process app(Path out, Map<String, String> context) throws Exception {
    JsonMapper json = new JsonMapper();
    String command = json.readTree(Path.of("cdk.json").toFile()).path("app").asText();
    ProcessBuilder builder = new ProcessBuilder("sh", "-c", command).redirectErrorStream(true);
    builder.environment().put("CDK_OUTDIR", out.toString());
    builder.environment().put("CDK_CONTEXT_JSON", json.writeValueAsString(context));
    return builder.start();
  }
}
