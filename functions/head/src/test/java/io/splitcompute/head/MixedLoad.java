package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.splitcompute.head.message.ActivationsMessage;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Callers that each send one request after the other, of every kind: texts and tokens, every model,
 * cut and dtype, lists, OpenAI's calls, what is refused, and callers that go away.
 */
final class MixedLoad implements AutoCloseable {

  /** What a caller that went away counts as. */
  static final int GONE = 0;

  /** A model, its layers and the most tokens of an input. */
  private record Target(String model, int layers, int maxTokens, boolean takesText) {}

  private static final List<Target> TARGETS =
      List.of(
          new Target("bookworm", 8, 256, true),
          new Target("bert-mean", 3, 60, true),
          new Target("gpt2-plain", 3, 64, false));

  private final URI address;
  private final HttpClient client = HttpClient.newHttpClient();
  private final ExecutorService threads;
  private final List<Future<Map<Integer, Long>>> running = new ArrayList<>();
  private volatile boolean stopped;

  /**
   * Starts it.
   *
   * @param callers at once
   */
  MixedLoad(URI address, int callers) {
    this.address = address;
    threads = Executors.newFixedThreadPool(callers);
    for (int caller = 0; caller < callers; caller++) {
      Random random = new Random(caller);
      running.add(threads.submit(() -> call(random)));
    }
  }

  /**
   * Stops it.
   *
   * @return how often each status was answered
   */
  Map<Integer, Long> stop() throws InterruptedException, ExecutionException {
    stopped = true;
    Map<Integer, Long> all = new TreeMap<>();
    for (Future<Map<Integer, Long>> caller : running) {
      caller.get().forEach((status, count) -> all.merge(status, count, Long::sum));
    }
    return all;
  }

  private Map<Integer, Long> call(Random random) throws Exception {
    Map<Integer, Long> statuses = new TreeMap<>();
    while (!stopped) {
      statuses.merge(send(random), 1L, Long::sum);
    }
    return statuses;
  }

  private int send(Random random) throws IOException, InterruptedException {
    Target target = TARGETS.get(random.nextInt(TARGETS.size()));
    Map<String, Object> body = new LinkedHashMap<>();
    body.put("model", target.model());
    body.put("input", input(target, random));
    if (random.nextInt(8) == 0) {
      return post("/v1/embeddings", body, "application/json");
    }
    if (random.nextInt(3) > 0) {
      // One too many now and then: it is refused.
      body.put("cut", random.nextInt(target.layers() + (random.nextInt(20) == 0 ? 2 : 1)));
    }
    body.put("dtype", List.of("f32", "f16", "i8").get(random.nextInt(3)));
    if (random.nextInt(16) == 0) {
      return leave(body);
    }
    return post("/v1/embed", body, random.nextBoolean() ? ActivationsMessage.MEDIA_TYPE : "*/*");
  }

  private static Object input(Target target, Random random) {
    int inputs = random.nextInt(10) == 0 ? 1 + random.nextInt(40) : 1;
    List<Object> all = new ArrayList<>();
    boolean text = target.takesText() && random.nextBoolean();
    for (int i = 0; i < inputs; i++) {
      int tokens = 1 + random.nextInt(random.nextInt(10) == 0 ? target.maxTokens() : 20);
      all.add(
          text
              ? "rain and night ".repeat(1 + tokens / 6)
              : random.ints(tokens, 0, 100).boxed().toList());
    }
    return all;
  }

  private int post(String path, Map<String, ?> body, String accept)
      throws IOException, InterruptedException {
    return client
        .send(
            HttpRequest.newBuilder(address.resolve(path))
                .header("Content-Type", "application/json")
                .header("Accept", accept)
                .POST(
                    HttpRequest.BodyPublishers.ofByteArray(
                        RunningHead.JSON.writeValueAsBytes(body)))
                .build(),
            HttpResponse.BodyHandlers.discarding())
        .statusCode();
  }

  /** Sends a request and does not wait for its answer. */
  private int leave(Map<String, ?> body) throws IOException {
    byte[] bytes = RunningHead.JSON.writeValueAsBytes(body);
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), address.getPort())) {
      String head =
          "POST /v1/embed HTTP/1.1\r\nHost: head\r\nContent-Type: application/json\r\nContent-Length: "
              + bytes.length
              + "\r\n\r\n";
      socket.getOutputStream().write(head.getBytes(UTF_8));
      socket.getOutputStream().write(bytes);
    }
    return GONE;
  }

  @Override
  public void close() {
    stopped = true;
    threads.shutdownNow();
  }
}
