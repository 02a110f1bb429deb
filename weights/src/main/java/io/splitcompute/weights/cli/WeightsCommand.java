package io.splitcompute.weights.cli;

import java.io.PrintWriter;
import java.nio.charset.Charset;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** The command line's entry point. Exit codes: 0 done, 1 failed, 2 called wrongly. */
@Command(
    name = WeightsCommand.NAME,
    description =
        "Fetches checkpoints, makes shards of them, and brings them where the cloud serves them from.",
    subcommands = {
      PullCommand.class,
      ShardCommand.class,
      PublishCommand.class,
      VerifyCommand.class,
      InspectCommand.class
    },
    mixinStandardHelpOptions = true,
    versionProvider = JarVersion.class,
    scope = ScopeType.INHERIT,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:done", "1:failed", "2:called wrongly"})
public final class WeightsCommand {

  static final String NAME = "splitcompute-weights";

  @Option(
      names = "--verbose",
      scope = ScopeType.INHERIT,
      description = "Show an error's whole stack trace.")
  private boolean verbose;

  private WeightsCommand() {}

  public static void main(String[] args) {
    Charset charset = Charset.defaultCharset();
    System.exit(
        run(
            new PrintWriter(System.out, true, charset),
            new PrintWriter(System.err, true, charset),
            args));
  }

  /**
   * Runs a command.
   *
   * @param out takes the result
   * @param err takes errors
   * @return the exit code
   */
  static int run(PrintWriter out, PrintWriter err, String... args) {
    WeightsCommand top = new WeightsCommand();
    CommandLine line = new CommandLine(top).setOut(out).setErr(err);
    line.setExecutionExceptionHandler(
        (failure, at, parsed) -> {
          err.println(NAME + ": " + FailureText.of(failure));
          if (top.verbose) {
            failure.printStackTrace(err);
          }
          return ExitCode.SOFTWARE;
        });
    line.setParameterExceptionHandler(
        (wrong, given) -> {
          String command = wrong.getCommandLine().getCommandSpec().qualifiedName();
          String text = FailureText.of(wrong).replaceFirst("^Error: ", "");
          err.println(NAME + ": " + text + "; try " + command + " --help");
          return ExitCode.USAGE;
        });
    return args.length == 0 ? line.execute("--help") : line.execute(args);
  }
}
