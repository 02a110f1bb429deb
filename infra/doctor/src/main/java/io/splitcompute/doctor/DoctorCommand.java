package io.splitcompute.doctor;

import io.splitcompute.doctor.Finding.Outcome;
import java.io.PrintWriter;
import java.net.URI;
import java.nio.charset.Charset;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/**
 * The command line's entry point. Exit codes: 0 all is well, 1 something is wrong, 2 called
 * wrongly.
 */
@Command(
    name = DoctorCommand.NAME,
    description = {
      "Checks a deployment, or the local cloud, from outside and says what is wrong and how to mend it.",
      "",
      "  splitcompute-doctor https://ID.execute-api.REGION.amazonaws.com --site https://ID.cloudfront.net",
      "  splitcompute-doctor http://127.0.0.1:8080 --site http://127.0.0.1:8080",
      ""
    },
    mixinStandardHelpOptions = true,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:all is well", "1:something is wrong", "2:called wrongly"})
public final class DoctorCommand implements Callable<Integer> {

  static final String NAME = "splitcompute-doctor";

  private static final long MEGABYTE = 1_000_000;

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @Parameters(paramLabel = "ENDPOINT", description = "The API's address, without /v1.")
  private URI endpoint;

  @Option(names = "--site", description = "The page's address; without it the page is left out.")
  private @Nullable URI site;

  @Option(names = "--model", description = "The model to look at (default: the first one).")
  private @Nullable String model;

  @Option(
      names = "--origin",
      description = "Whose pages must be let in (default: the site's origin, else the API's).")
  private @Nullable String origin;

  @Option(
      names = "--timeout-seconds",
      defaultValue = "30",
      description = "How long each request may take (default: ${DEFAULT-VALUE}).")
  private int timeoutSeconds;

  @Option(
      names = "--tail-megabytes",
      defaultValue = "1000",
      description =
          "Shards of at most so many MB are loaded to run tails here (default: ${DEFAULT-VALUE}).")
  private long tailMegabytes;

  private DoctorCommand() {}

  public static void main(String[] args) {
    Charset charset = Charset.defaultCharset();
    System.exit(
        run(
            new PrintWriter(System.out, true, charset),
            new PrintWriter(System.err, true, charset),
            args));
  }

  /**
   * Runs the command.
   *
   * @param out takes the findings
   * @param err takes errors
   * @return the exit code
   */
  public static int run(PrintWriter out, PrintWriter err, String... args) {
    return new CommandLine(new DoctorCommand())
        .setOut(out)
        .setErr(err)
        .setParameterExceptionHandler(
            (wrong, given) -> {
              err.println("%s: %s; try --help".formatted(NAME, wrong.getMessage()));
              return ExitCode.USAGE;
            })
        .execute(args);
  }

  @Override
  public Integer call() throws InterruptedException {
    requireHttp(endpoint, "ENDPOINT");
    if (site != null) {
      requireHttp(site, "--site");
    }
    if (timeoutSeconds < 1) {
      throw new ParameterException(spec.commandLine(), "--timeout-seconds must be at least 1");
    }
    if (tailMegabytes < 0) {
      throw new ParameterException(spec.commandLine(), "--tail-megabytes must be at least 0");
    }
    PrintWriter out = spec.commandLine().getOut();
    Map<Outcome, Integer> counts = new EnumMap<>(Outcome.class);
    new Examination(
            endpoint,
            site,
            model,
            origin != null ? origin : originOf(site != null ? site : endpoint),
            Duration.ofSeconds(timeoutSeconds),
            tailMegabytes * MEGABYTE,
            finding -> {
              counts.merge(finding.outcome(), 1, Integer::sum);
              out.println(finding);
            })
        .run();
    int wrong = counts.getOrDefault(Outcome.WRONG, 0);
    out.println(
        "%d well, %d hints, %d wrong"
            .formatted(
                counts.getOrDefault(Outcome.WELL, 0), counts.getOrDefault(Outcome.HINT, 0), wrong));
    return wrong == 0 ? ExitCode.OK : ExitCode.SOFTWARE;
  }

  private void requireHttp(URI uri, String name) {
    if (uri.getHost() == null || !String.valueOf(uri.getScheme()).matches("https?")) {
      throw new ParameterException(
          spec.commandLine(), name + " must be an address as https://example.org, not " + uri);
    }
  }

  private static String originOf(URI uri) {
    return uri.getScheme() + "://" + uri.getRawAuthority();
  }
}
