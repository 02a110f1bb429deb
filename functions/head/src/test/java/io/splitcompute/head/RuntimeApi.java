package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;

/** Lambda's side of a custom runtime: hands out invocations and takes their answers. */
final class RuntimeApi implements AutoCloseable {

  private record Invocation(String id, byte[] event) {}

  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final BlockingQueue<Invocation> waiting = new LinkedBlockingQueue<>();
  private final Map<String, CompletableFuture<JsonNode>> answers = new ConcurrentHashMap<>();

  RuntimeApi() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext("/2018-06-01/runtime/invocation/next", this::next);
    server.createContext("/2018-06-01/runtime/invocation/", this::answer);
    server.createContext("/2018-06-01/runtime/init/error", this::failed);
    server.start();
  }

  /** What {@code AWS_LAMBDA_RUNTIME_API} holds. */
  String address() {
    return "127.0.0.1:" + server.getAddress().getPort();
  }

  /** Invokes the function with an HTTP API event. */
  CompletableFuture<JsonNode> invoke(byte[] event) {
    String id = UUID.randomUUID().toString();
    CompletableFuture<JsonNode> answer = new CompletableFuture<>();
    answers.put(id, answer);
    waiting.add(new Invocation(id, event));
    return answer;
  }

  private void next(HttpExchange exchange) throws IOException {
    try {
      Invocation invocation = waiting.take();
      exchange.getResponseHeaders().set("Lambda-Runtime-Aws-Request-Id", invocation.id());
      exchange
          .getResponseHeaders()
          .set("Lambda-Runtime-Deadline-Ms", Long.toString(System.currentTimeMillis() + 30_000));
      exchange
          .getResponseHeaders()
          .set(
              "Lambda-Runtime-Invoked-Function-Arn",
              "arn:aws:lambda:us-east-1:123456789012:function:head");
      exchange.sendResponseHeaders(200, invocation.event().length);
      exchange.getResponseBody().write(invocation.event());
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    } finally {
      exchange.close();
    }
  }

  private void answer(HttpExchange exchange) throws IOException {
    String[] path = exchange.getRequestURI().getPath().split("/", -1);
    byte[] body = exchange.getRequestBody().readAllBytes();
    CompletableFuture<JsonNode> answer = answers.get(path[4]);
    if (answer != null && path[5].equals("response")) {
      answer.complete(RunningHead.JSON.readTree(body));
    } else if (answer != null) {
      answer.completeExceptionally(new IOException(new String(body, UTF_8)));
    }
    exchange.sendResponseHeaders(202, -1);
    exchange.close();
  }

  private void failed(HttpExchange exchange) throws IOException {
    IOException failure =
        new IOException(new String(exchange.getRequestBody().readAllBytes(), UTF_8));
    answers.values().forEach(answer -> answer.completeExceptionally(failure));
    exchange.sendResponseHeaders(202, -1);
    exchange.close();
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }
}
