package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awscdk.App;
import software.amazon.awscdk.AppProps;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.services.lambda.DockerImageFunction;

/** The head's image is built from what its Dockerfile copies, and synthesis needs no Docker. */
final class HeadImageTest {

  @Test
  void shouldSendDockerWhatTheDockerfileCopiesAndNothingElse(@TempDir Path temporary)
      throws Exception {
    Path project = temporary.resolve("project");
    for (String file :
        new String[] {
          "functions/head/image/Dockerfile.cpu",
          "functions/head/target/lib/a.jar",
          "functions/head/target/head-0.1.0.jar",
          "functions/head/target/classes/A.class",
          "weights/target/splitcompute-weights.jar",
          "web/node_modules/a.js",
          ".git/config"
        }) {
      Files.createDirectories(project.resolve(file).getParent());
      Files.writeString(project.resolve(file), file);
    }
    Path out = temporary.resolve("out");
    App app = new App(AppProps.builder().outdir(out.toString()).build());
    Stack stack = new Stack(app, "Image");

    DockerImageFunction.Builder.create(stack, "Head")
        .code(HeadImage.CPU.lambda(stack, Settings.of(Map.of()::get, project)))
        .build();
    app.synth();

    JsonNode images =
        new JsonMapper().readTree(out.resolve("Image.assets.json").toFile()).path("dockerImages");
    JsonNode source = images.elements().next().path("source");
    assertEquals("functions/head/image/Dockerfile.cpu", source.path("dockerFile").asText());
    assertEquals("linux/amd64", source.path("platform").asText());
    Path context = out.resolve(source.path("directory").asText());
    assertTrue(Files.exists(context.resolve("functions/head/target/lib/a.jar")));
    assertTrue(Files.exists(context.resolve("functions/head/target/head-0.1.0.jar")));
    assertTrue(Files.exists(context.resolve("weights/target/splitcompute-weights.jar")));
    assertFalse(Files.exists(context.resolve("functions/head/target/classes/A.class")));
    assertFalse(Files.exists(context.resolve("web")));
    assertFalse(Files.exists(context.resolve(".git")));
  }

  /** A pool that may sleep has a CPU head beside it, and each of the two runs its own image. */
  @Test
  void shouldTakeEachImageFromTheRepositoryOfItsOwn() {
    Synthesised synthesised = Synthesised.with(HeadHost.ECS_GPU);
    String cpu = synthesised.template("Api").findResources("AWS::Lambda::Function").toString();
    String gpu = synthesised.template("Gpu").findResources("AWS::ECS::TaskDefinition").toString();

    assertTrue(cpu.contains("splitcompute/head:0.1.0"), cpu);
    assertTrue(gpu.contains("splitcompute/head-gpu:0.1.0"), gpu);
  }
}
