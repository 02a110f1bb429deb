package io.splitcompute.infra.lambda;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Lambda's side of a custom runtime: hands out invocations and takes their answers. */
final class RuntimeApi implements FunctionHost {

  private static final long LIMIT_SECONDS = 120;

  private record Invocation(String id, byte[] event) {}

  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final BlockingQueue<Invocation> waiting = new LinkedBlockingQueue<>();
  private final Map<String, CompletableFuture<byte[]>> answers = new ConcurrentHashMap<>();
  private final CompletableFuture<Boolean> asked = new CompletableFuture<>();
  private final FunctionProcess process;

  /** Starts a function, and returns when it asks for its first event. */
  RuntimeApi(FunctionFolder function, Map<String, String> environment, Path temporary)
      throws IOException, InterruptedException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext("/2018-06-01/runtime/invocation/next", this::next);
    server.createContext("/2018-06-01/runtime/invocation/", this::answer);
    server.createContext("/2018-06-01/runtime/init/error", this::failed);
    server.start();
    Map<String, String> all = new HashMap<>(environment);
    all.put("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:" + server.getAddress().getPort());
    all.put("SPLITCOMPUTE_CACHE_FOLDER", temporary.resolve("cache").toString());
    try {
      process =
          FunctionProcess.start(
              List.of(function.root().resolve("bootstrap").toString()),
              all,
              temporary.resolve("log"));
    } catch (IOException failed) {
      stopServing();
      throw failed;
    }
    try {
      // The client unpacks its library to one place, where two that start at once meet.
      await(asked);
    } catch (IOException | InterruptedException failed) {
      close();
      throw failed;
    }
  }

  @Override
  public byte[] invoke(byte[] event) throws IOException, InterruptedException {
    String id = UUID.randomUUID().toString();
    CompletableFuture<byte[]> answer = new CompletableFuture<>();
    answers.put(id, answer);
    waiting.add(new Invocation(id, event));
    try {
      return await(answer);
    } finally {
      answers.remove(id);
    }
  }

  private <T> T await(CompletableFuture<T> result) throws IOException, InterruptedException {
    try {
      CompletableFuture.anyOf(result, process.end()).get(LIMIT_SECONDS, TimeUnit.SECONDS);
      process.requireAlive();
      return result.get();
    } catch (TimeoutException | ExecutionException none) {
      throw new IOException("the function does not come to an end: " + log(), none);
    }
  }

  private void next(HttpExchange exchange) throws IOException {
    try {
      asked.complete(true);
      Invocation invocation = waiting.take();
      // Without a type the native client reads a null string.
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      exchange.getResponseHeaders().set("Lambda-Runtime-Aws-Request-Id", invocation.id());
      exchange
          .getResponseHeaders()
          .set("Lambda-Runtime-Deadline-Ms", Long.toString(System.currentTimeMillis() + 30_000));
      exchange
          .getResponseHeaders()
          .set(
              "Lambda-Runtime-Invoked-Function-Arn",
              "arn:aws:lambda:us-east-1:123456789012:function:test");
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
    CompletableFuture<byte[]> answer = answers.get(path[4]);
    if (answer != null) {
      answer.complete(body);
    }
    exchange.sendResponseHeaders(202, -1);
    exchange.close();
  }

  /** The process says why in its log, and ends. */
  private void failed(HttpExchange exchange) throws IOException {
    exchange.sendResponseHeaders(202, -1);
    exchange.close();
  }

  @Override
  public String log() {
    return process.log();
  }

  @Override
  public void close() {
    process.close();
    stopServing();
  }

  private void stopServing() {
    server.stop(0);
    threads.shutdownNow();
  }
}
