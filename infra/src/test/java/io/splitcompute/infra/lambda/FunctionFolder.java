package io.splitcompute.infra.lambda;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A function's code as Lambda unpacks it, with what Lambda starts: an executable {@code bootstrap}.
 *
 * @param name of the function in the template
 * @param root where its code is
 */
record FunctionFolder(String name, Path root) {

  private static final Path FUNCTIONS = Path.of("..", "functions").toAbsolutePath().normalize();
  private static final String CLIENT = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";

  /** What the head's image holds, laid out by the step that its Dockerfile runs. */
  static FunctionFolder head(Path root) throws IOException, InterruptedException {
    Process layout =
        new ProcessBuilder(
                FUNCTIONS.resolve("head/image/layout.sh").toString(),
                FUNCTIONS.resolve("head/target").toString(),
                root.toString(),
                "cpu")
            .redirectErrorStream(true)
            .start();
    String said = new String(layout.getInputStream().readAllBytes(), UTF_8);
    if (layout.waitFor() != 0) {
      throw new AssertionError("the head is not packaged, run ./mvnw -DskipTests package: " + said);
    }
    Files.createSymbolicLink(root.resolve("bootstrap"), Path.of("entrypoint.sh"));
    return new FunctionFolder("Head", root);
  }

  /**
   * The catalog's zip, and the runtime interface client, which Lambda's Java runtime has of its
   * own.
   *
   * @param handler what the runtime calls
   */
  static FunctionFolder catalog(Path root, String handler) throws IOException {
    List<String> path = new ArrayList<>(jars(FUNCTIONS.resolve("catalog/target/lambda/lib"), "*"));
    path.addAll(jars(FUNCTIONS.resolve("head/target/lib"), "aws-lambda-java-{runtime,serial}*"));
    Files.createDirectories(root);
    Path bootstrap = root.resolve("bootstrap");
    Files.writeString(
        bootstrap,
        "#!/bin/sh\nexec java -cp '%s' %s %s\n".formatted(String.join(":", path), CLIENT, handler));
    if (!bootstrap.toFile().setExecutable(true)) {
      throw new IOException(bootstrap + " cannot be made executable");
    }
    return new FunctionFolder("Catalog", root);
  }

  private static List<String> jars(Path folder, String name) throws IOException {
    List<String> found = new ArrayList<>();
    try (var files = Files.newDirectoryStream(folder, name + ".jar")) {
      files.forEach(file -> found.add(file.toString()));
    }
    return found;
  }
}
