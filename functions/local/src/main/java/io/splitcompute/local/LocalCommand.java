package io.splitcompute.local;

import io.splitcompute.weights.cli.FailureText;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The command line of the local cloud. */
@Command(
    name = "splitcompute-local",
    description =
        "Runs the whole of SplitCompute on this machine: S3, the catalog, the head and the site.",
    mixinStandardHelpOptions = true,
    versionProvider = LocalCommand.Version.class,
    sortOptions = false,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:stopped by Ctrl-C or a signal (or 128 + the signal's number)",
      "1:it could not start; one line says why",
      "2:an option is not valid"
    })
public final class LocalCommand implements Callable<Integer> {

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @Option(
      names = "--port",
      paramLabel = "PORT",
      defaultValue = "8080",
      description = "Port of the site and the API; 0 takes a free one (default: ${DEFAULT-VALUE}).")
  private int port;

  @Option(
      names = "--s3-port",
      paramLabel = "PORT",
      defaultValue = "0",
      description = "Port of S3; 0 takes a free one (default: ${DEFAULT-VALUE}).")
  private int s3Port;

  @Option(
      names = "--host",
      paramLabel = "ADDRESS",
      defaultValue = "127.0.0.1",
      description = {
        "Address to listen on, and to name in URLs (default: ${DEFAULT-VALUE}).",
        "Browsers offer WebGPU on localhost and over HTTPS alone."
      })
  private String host = "127.0.0.1";

  @Option(
      names = "--model",
      paramLabel = "NAME|FOLDER|JAR",
      defaultValue = BundledModel.NAME,
      description = {
        "A model to serve; may be repeated (default: ${DEFAULT-VALUE}, which is built in).",
        "all-minilm-l6-v2 lies beside this program, in models/.",
        "A folder in Hugging Face layout is sharded and published under the folder's name,",
        "a jar dev.langchain4j:langchain4j-embeddings-* under its model's."
      })
  private List<String> models = List.of(BundledModel.NAME);

  @Option(
      names = "--data",
      paramLabel = "FOLDER",
      description = "Where all state is kept (default: a temporary folder that goes at the end).")
  private @Nullable Path data;

  @Option(
      names = "--with-parent",
      hidden = true,
      description =
          "Stop when the process that started this one ends: a build that is ended by a signal does not end what it started.")
  private boolean withParent;

  public static void main(String[] arguments) {
    System.exit(commandLine().execute(arguments));
  }

  static CommandLine commandLine() {
    return new CommandLine(new LocalCommand())
        .setExecutionExceptionHandler(
            (failure, line, parsed) -> {
              line.getErr().println("splitcompute-local: " + reason(failure));
              return 1;
            });
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    requirePort("--port", port);
    requirePort("--s3-port", s3Port);
    LocalCloud.Options options = new LocalCloud.Options(host, port, s3Port, models, data);
    Stopping stopping = new Stopping(Thread.currentThread());
    Runtime.getRuntime().addShutdownHook(new Thread(stopping::stop, "stop"));
    LocalCloud cloud;
    try {
      cloud = LocalCloud.start(options, System.err::println);
    } catch (IOException | InterruptedException | RuntimeException failed) {
      stopping.ended();
      throw failed;
    }
    stopping.running(cloud);
    if (withParent) {
      Optional<ProcessHandle> parent = ProcessHandle.current().parent();
      if (parent.isPresent()) {
        Future<?> unused = parent.get().onExit().thenRun(() -> System.exit(0));
      }
    }
    System.out.println("SplitCompute is ready at " + cloud.address());
    System.out.flush();
    stopping.await();
    return 0;
  }

  private void requirePort(String option, int value) {
    if (value < 0 || value > 65_535) {
      throw new ParameterException(
          spec.commandLine(), option + " must be from 0 to 65535, not " + value);
    }
  }

  /** The cause that says most: the innermost one with a message. */
  private static String reason(Throwable failure) {
    String reason = failure.getClass().getSimpleName();
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof FileSystemException) {
        reason = FailureText.of(cause);
      } else if (cause.getMessage() != null && !cause.getMessage().isBlank()) {
        reason = cause.getMessage().lines().findFirst().orElse(reason);
      }
    }
    return reason;
  }

  static final class Version implements CommandLine.IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = LocalCommand.class.getPackage().getImplementationVersion();
      return new String[] {"SplitCompute " + (version == null ? "(not packaged)" : version)};
    }
  }
}
