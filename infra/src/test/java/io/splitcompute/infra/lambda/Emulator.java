package io.splitcompute.infra.lambda;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.net.ConnectException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/** AWS's Lambda runtime interface emulator, which starts the function itself. */
final class Emulator implements FunctionHost {

  /** A mount of its own, and Java for the user and group that the multi-concurrency mode takes. */
  private static final List<String> PROBE =
      List.of(
          "unshare",
          "--mount",
          "sh",
          "-c",
          "mount -t tmpfs tmpfs /tmp && setpriv --reuid 993 --regid 990 --clear-groups java -version");

  private static final String NO_IDLE_RUNTIME = "Runtime.Unavailable";
  private static final Duration LIMIT = Duration.ofMinutes(2);
  private static final long PAUSE_MS = 50;

  private final FunctionProcess process;
  private final URI address;
  private final HttpClient http = HttpClient.newHttpClient();
  // An event beyond its concurrency would end it.
  private final Semaphore idle;

  private Emulator(FunctionProcess process, URI address, int concurrency) {
    this.process = process;
    this.address = address;
    this.idle = new Semaphore(concurrency, true);
  }

  static Emulator start(
      Path binary,
      FunctionFolder function,
      Map<String, String> environment,
      int concurrency,
      Path temporary)
      throws IOException {
    int port = freePort();
    List<String> options =
        List.of(
            "--runtime-interface-emulator-address",
            "127.0.0.1:" + port,
            "--runtime-api-address",
            "127.0.0.1:" + freePort());
    List<String> command = new ArrayList<>();
    Map<String, String> all = new HashMap<>(environment);
    if (concurrency > 1) {
      command.addAll(List.of("unshare", "--mount", "sh"));
      command.add("src/test/resources/io/splitcompute/infra/lambda/emulator.sh");
      command.add(Files.createDirectory(temporary.resolve("var")).toString());
      command.add(function.root().toString());
      command.add(binary.toString());
      command.addAll(options);
    } else {
      command.add(binary.toString());
      command.addAll(options);
      command.add(function.root().resolve("bootstrap").toString());
      all.put("SPLITCOMPUTE_CACHE_FOLDER", temporary.resolve("cache").toString());
    }
    return new Emulator(
        FunctionProcess.start(command, all, temporary.resolve("log")),
        URI.create("http://127.0.0.1:" + port + "/2015-03-31/functions/function/invocations"),
        concurrency);
  }

  /** Whether this machine lets the tests start the multi-concurrency mode. */
  static boolean mayTakeSeveral() throws InterruptedException {
    try {
      return new ProcessBuilder(PROBE)
              .redirectErrorStream(true)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .start()
              .waitFor()
          == 0;
    } catch (IOException noSuchCommand) {
      return false;
    }
  }

  @Override
  public byte[] invoke(byte[] event) throws IOException, InterruptedException {
    idle.acquire();
    try {
      HttpRequest request =
          HttpRequest.newBuilder(address)
              .timeout(LIMIT)
              .POST(HttpRequest.BodyPublishers.ofByteArray(event))
              .build();
      Instant end = Instant.now().plus(LIMIT);
      while (true) {
        HttpResponse<byte[]> answer = send(request);
        // A runtime is idle again only when it has asked for the next event.
        if (answer != null
            && (answer.statusCode() == 200
                || !new String(answer.body(), UTF_8).contains(NO_IDLE_RUNTIME))) {
          return answer.body();
        }
        process.requireAlive();
        if (Instant.now().isAfter(end)) {
          throw new IOException("the emulator takes no event: " + process.log());
        }
        Thread.sleep(PAUSE_MS);
      }
    } finally {
      idle.release();
    }
  }

  /** Null where it does not listen yet. */
  private @Nullable HttpResponse<byte[]> send(HttpRequest request)
      throws IOException, InterruptedException {
    try {
      return http.send(request, HttpResponse.BodyHandlers.ofByteArray());
    } catch (ConnectException notYet) {
      return null;
    }
  }

  private static int freePort() throws IOException {
    try (ServerSocket free = new ServerSocket(0)) {
      return free.getLocalPort();
    }
  }

  @Override
  public String log() {
    return process.log();
  }

  @Override
  public void close() {
    process.close();
  }
}
