package io.splitcompute.weights.cli;

import io.splitcompute.weights.hub.Hub;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code pull}: from the Hugging Face hub to a checkpoint's folder. */
@Command(
    name = "pull",
    description = {
      "Fetch a checkpoint from the Hugging Face hub, for 'shard'. What was begun goes on where it"
          + " stopped, and what is there already is checked and not fetched again. What another"
          + " revision left in the folder is removed.",
      "A token for gated and private models is taken from the environment variable HF_TOKEN."
    })
final class PullCommand implements Callable<Integer> {

  private static final String PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}";

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @Parameters(
      paramLabel = "MODEL",
      description = "As the hub names it: gpt2, or sentence-transformers/all-MiniLM-L6-v2.")
  private String model;

  @Option(
      names = "--revision",
      paramLabel = "REVISION",
      defaultValue = "main",
      description = "Branch, tag or commit (default: ${DEFAULT-VALUE}).")
  private String revision;

  @Option(
      names = "--out",
      paramLabel = "FOLDER",
      description = "Where the checkpoint goes (default: a folder of the model's name, here).")
  private @Nullable Path out;

  @Option(
      names = "--endpoint",
      paramLabel = "URL",
      defaultValue = "${env:HF_ENDPOINT:-https://huggingface.co}",
      description =
          "The hub, or a mirror of it (default: HF_ENDPOINT, else https://huggingface.co).")
  private URI endpoint;

  @Override
  public Integer call() throws IOException {
    if (!model.matches("(" + PART + "/)?" + PART) || model.contains("..")) {
      throw wrong("'" + model + "' is no model's name: it is NAME or OWNER/NAME");
    }
    if (!revision.matches("[A-Za-z0-9][A-Za-z0-9._-]*") || revision.contains("..")) {
      throw wrong("'" + revision + "' is no branch, tag or commit");
    }
    if (endpoint.getHost() == null || !String.valueOf(endpoint.getScheme()).matches("https?")) {
      throw wrong("--endpoint " + endpoint + " is no http or https URL");
    }
    Path folder = out != null ? out : Path.of(model.substring(model.indexOf('/') + 1));
    Optional<String> token = Optional.ofNullable(System.getenv("HF_TOKEN"));
    String commit;
    try (Bar bar = Bar.ofBytes("Pulling " + model)) {
      commit =
          Hub.at(endpoint, token, (failed, wait) -> sayWait(bar, failed, wait))
              .pull(model, revision, folder, bar::at);
    }
    spec.commandLine()
        .getOut()
        .println(model + ": commit " + commit + " is in " + folder + "; now: shard " + folder);
    return 0;
  }

  private void sayWait(Bar bar, IOException failed, Duration wait) {
    long seconds = (wait.toMillis() + 999) / 1_000;
    bar.say(
        spec.commandLine().getErr(),
        "%s: %s; trying again in %d s"
            .formatted(WeightsCommand.NAME, FailureText.of(failed), seconds));
  }

  private ParameterException wrong(String text) {
    return new ParameterException(spec.commandLine(), text);
  }
}
