package io.splitcompute.bench;

import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Callers that each send a request, wait for the answer and send the next one; who is refused waits
 * as long as the answer says.
 */
@Command(
    name = "load",
    mixinStandardHelpOptions = true,
    description = "Loads a running head and prints one JSON line of what came of it.")
final class LoadGenerator implements Callable<Integer> {

  private static final JsonMapper JSON = new JsonMapper();
  private static final int TOO_MANY = 429;
  private static final String MESSAGE = "application/vnd.splitcompute.activations";

  @Option(names = "--url", required = true, description = "address of the head")
  private URI url;

  @Option(names = "--model", required = true)
  private String model;

  @Option(names = "--callers", defaultValue = "64", description = "at once (default 64)")
  private int callers;

  @Option(names = "--seconds", defaultValue = "20", description = "after warming up (default 20)")
  private int seconds;

  @Option(names = "--lengths", defaultValue = "1-64", description = "tokens of a request")
  private String lengths;

  @Option(names = "--cuts", defaultValue = "1-12", description = "layers of a request")
  private String cuts;

  @Option(names = "--vocabulary", defaultValue = "1000", description = "token ids below this")
  private int vocabulary;

  @Option(
      names = "--pooled",
      description = "ask for embeddings; else for activations, compared with those sent alone")
  private boolean pooled;

  @Option(names = "--requests", defaultValue = "128", description = "different ones (default 128)")
  private int requests;

  private record Sent(double milliseconds, int tokens, int status, boolean right) {}

  public static void main(String[] arguments) {
    System.exit(new CommandLine(new LoadGenerator()).execute(arguments));
  }

  @Override
  public Integer call() throws Exception {
    Map<String, Object> figures = run();
    System.out.println(JSON.writeValueAsString(figures));
    return Objects.equals(figures.get("wrong"), 0L) ? 0 : 1;
  }

  /** Sends for the time that was asked for and tells what came of it. */
  Map<String, Object> run() throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    Random random = new Random(1);
    List<byte[]> bodies = new ArrayList<>();
    List<Integer> tokens = new ArrayList<>();
    List<byte[]> alone = new ArrayList<>();
    for (int i = 0; i < requests; i++) {
      int length = within(lengths, random);
      tokens.add(length);
      bodies.add(
          JSON.writeValueAsBytes(
              Map.of(
                  "model",
                  model,
                  "input",
                  List.of(random.ints(length, 0, vocabulary).boxed().toList()),
                  "cut",
                  within(cuts, random),
                  "dtype",
                  "f32")));
      HttpResponse<byte[]> answer = send(client, bodies.get(i));
      if (answer.statusCode() != 200) {
        throw new IOException("status " + answer.statusCode());
      }
      alone.add(answer.body());
    }
    long until = System.nanoTime() + (seconds + 2) * 1_000_000_000L;
    long from = System.nanoTime() + 2_000_000_000L;
    ExecutorService threads = Executors.newFixedThreadPool(callers);
    List<Future<List<Sent>>> running = new ArrayList<>();
    for (int caller = 0; caller < callers; caller++) {
      Random own = new Random(caller);
      running.add(
          threads.submit(
              () -> {
                List<Sent> sent = new ArrayList<>();
                while (System.nanoTime() < until) {
                  int one = own.nextInt(requests);
                  long started = System.nanoTime();
                  HttpResponse<byte[]> answer = send(client, bodies.get(one));
                  double milliseconds = (System.nanoTime() - started) / 1e6;
                  boolean right =
                      answer.statusCode() != 200 || pooled || same(alone.get(one), answer.body());
                  if (answer.statusCode() == TOO_MANY) {
                    Thread.sleep(1000 * answer.headers().firstValueAsLong("Retry-After").orElse(1));
                  }
                  if (started >= from) {
                    sent.add(new Sent(milliseconds, tokens.get(one), answer.statusCode(), right));
                  }
                }
                return sent;
              }));
    }
    List<Sent> all = new ArrayList<>();
    for (Future<List<Sent>> caller : running) {
      all.addAll(caller.get());
    }
    threads.shutdown();
    double took = (System.nanoTime() - from) / 1e9;
    List<Sent> answered = all.stream().filter(one -> one.status() == 200).toList();
    double[] times = answered.stream().mapToDouble(Sent::milliseconds).sorted().toArray();
    return Map.of(
        "callers", callers,
        "requestsPerSecond", answered.size() / took,
        "tokensPerSecond", answered.stream().mapToInt(Sent::tokens).sum() / took,
        "p50Milliseconds", percentile(times, 0.5),
        "p95Milliseconds", percentile(times, 0.95),
        "answered", answered.size(),
        "refused", all.stream().filter(one -> one.status() == TOO_MANY).count(),
        "failed",
            all.stream().filter(one -> one.status() != 200 && one.status() != TOO_MANY).count(),
        "wrong", all.stream().filter(one -> !one.right()).count());
  }

  private HttpResponse<byte[]> send(HttpClient client, byte[] body)
      throws IOException, InterruptedException {
    return client.send(
        HttpRequest.newBuilder(url.resolve("/v1/embed"))
            .header("Content-Type", "application/json")
            .header("Accept", pooled ? "application/json" : MESSAGE)
            .POST(HttpRequest.BodyPublishers.ofByteArray(body))
            .build(),
        HttpResponse.BodyHandlers.ofByteArray());
  }

  private static int within(String range, Random random) {
    int[] ends = Arrays.stream(range.split("-")).mapToInt(Integer::parseInt).toArray();
    int last = ends[ends.length - 1];
    return ends[0] + random.nextInt(last - ends[0] + 1);
  }

  /** Within 1e-4 of the largest element, which is what rounding in another order may do. */
  private static boolean same(byte[] alone, byte[] shared) throws IOException {
    float[] a = hidden(alone);
    float[] b = hidden(shared);
    float largest = 0;
    float difference = 0;
    for (int i = 0; i < a.length; i++) {
      largest = Math.max(largest, Math.abs(a[i]));
      difference = Math.max(difference, Math.abs(a[i] - b[i]));
    }
    return a.length == b.length && difference <= 1e-4 * largest;
  }

  private static float[] hidden(byte[] message) throws IOException {
    ByteBuffer bytes = SafetensorsFile.parse(ByteBuffer.wrap(message)).tensor("hidden").bytes();
    float[] all = new float[bytes.remaining() / Float.BYTES];
    bytes.asFloatBuffer().get(all);
    return all;
  }

  static double percentile(double[] sorted, double part) {
    return sorted.length == 0
        ? -1
        : sorted[(int) Math.min(sorted.length - 1, part * sorted.length)];
  }
}
