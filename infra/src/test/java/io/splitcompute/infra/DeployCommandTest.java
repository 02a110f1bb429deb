package io.splitcompute.infra;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code infra/deploy} builds, puts the weights there before what reads them, and ends with stacks
 * that know the site's origin. Maven, CDK and the weights' command are played by scripts that write
 * down how they were called.
 */
@DisabledOnOs(value = OS.WINDOWS, disabledReason = "the command is a shell script")
final class DeployCommandTest {

  private static final String OLD = "https://old.example";
  private static final String NEW = "https://new.example";

  @TempDir private Path folder;
  private Path calls;

  @BeforeEach
  void layOut() throws IOException {
    calls = folder.resolve("calls");
    Files.createDirectories(folder.resolve("project/infra/target"));
    Files.copy(Path.of("deploy"), folder.resolve("project/infra/deploy"));
    script("project/mvnw", "echo build >> '%s'".formatted(calls));
    script("bin/java", "echo \"weights $3\" >> '%s'".formatted(calls));
    script(
        "bin/npx",
        """
        stacks=$4 file= origin=none
        while [ $# -gt 0 ]; do
          case $1 in
            --outputs-file) file=$2 ;;
            siteOrigin=*) origin=${1#siteOrigin=} ;;
          esac
          shift
        done
        echo "$stacks for $origin" >> '%s'
        if [ "$stacks" = --all ]; then
          echo '{"SplitComputeSite": {"Origin": "%s"}}' > "$file"
        else
          echo '{"SplitComputeStorage": {"WeightsBucket": "bucket"}}' > "$file"
        fi
        """
            .formatted(calls, NEW));
  }

  @Test
  void shouldDeployOnceMoreWhenTheSiteIsThere() throws Exception {
    assertEquals(
        List.of(
            "build",
            "SplitComputeStorage for none",
            "weights shard",
            "weights publish",
            "--all for none",
            "--all for " + NEW),
        deploy());
  }

  @Test
  void shouldDeployOnceWhereTheOriginIsKnown() throws Exception {
    deploy();
    Files.delete(calls);

    assertEquals(
        List.of(
            "build",
            "SplitComputeStorage for " + NEW,
            "weights shard",
            "weights publish",
            "--all for " + NEW),
        deploy());
  }

  @Test
  void shouldLearnTheOriginAnewAfterTheSiteWasTakenDown() throws Exception {
    Files.writeString(
        folder.resolve("project/infra/target/outputs.json"),
        "{\"SplitComputeSite\": {\"Origin\": \"%s\"}}".formatted(OLD));

    List<String> all = deploy();

    assertEquals("--all for " + NEW, all.get(all.size() - 1));
  }

  @Test
  void shouldTakeTheOriginThatIsGiven() throws Exception {
    List<String> all = deploy("siteOrigin=" + OLD);

    assertEquals("--all for " + OLD, all.get(all.size() - 1));
    assertFalse(all.contains("--all for " + NEW), all::toString);
  }

  @Test
  void shouldPublishNothingForAModelOfOnesOwn() throws Exception {
    assertFalse(deploy("model=gpt2").contains("weights publish"));
  }

  private List<String> deploy(String... arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of("bash", "deploy"));
    command.addAll(List.of(arguments));
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .directory(folder.resolve("project/infra").toFile())
            .redirectErrorStream(true);
    builder
        .environment()
        .merge("PATH", "", (path, none) -> folder.resolve("bin") + File.pathSeparator + path);
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertEquals(0, process.waitFor(), said);
    return Files.readAllLines(calls);
  }

  private void script(String name, String body) throws IOException {
    Path file = folder.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, "#!/bin/sh\n" + body);
    if (!file.toFile().setExecutable(true)) {
      throw new IOException(file + " cannot be made executable");
    }
  }
}
