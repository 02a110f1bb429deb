package io.splitcompute.infra.lambda;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An HTTP API of API Gateway in front of functions: routes and CORS as the template has them, and
 * the limits of HTTP APIs and of Lambda. Where Lambda would start another copy of a function, an
 * event waits, and beyond a few it is refused.
 */
final class Gateway implements AutoCloseable {

  static final int MAX_REQUEST_BYTES = 10 << 20;
  static final int MAX_PAYLOAD_BYTES = 6 << 20;

  /** Events of a function that run or wait. */
  static final int QUEUE = 8;

  private static final Logger LOG = LoggerFactory.getLogger(Gateway.class);
  private static final int LIMIT_SECONDS = 30;
  private static final JsonMapper JSON = new JsonMapper();
  private static final Pattern PARAMETER = Pattern.compile("\\{(\\w+)}");

  private record Answer(int status, Map<String, String> headers, byte[] body) {

    static Answer message(int status, String message) {
      return new Answer(
          status,
          Map.of("Content-Type", "application/json"),
          "{\"message\":\"%s\"}".formatted(message).getBytes(UTF_8));
    }
  }

  private record Route(String key, String method, Pattern path, Target target) {}

  private record Target(FunctionHost function, Semaphore queue) {}

  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final List<Route> routes;
  private final JsonNode cors;
  private final List<String> served = Collections.synchronizedList(new ArrayList<>());

  /**
   * @param functions by their names in the template
   */
  Gateway(SamTemplate template, Map<String, FunctionHost> functions) throws IOException {
    Map<String, Target> targets = new HashMap<>();
    functions.forEach((name, one) -> targets.put(name, new Target(one, new Semaphore(QUEUE))));
    cors = template.cors();
    routes = new ArrayList<>();
    for (SamTemplate.Route route : template.routes()) {
      Target target = targets.get(route.function());
      if (target == null) {
        throw new IllegalArgumentException(route + " leads to a function that is not here");
      }
      Pattern path = Pattern.compile(PARAMETER.matcher(route.path()).replaceAll("(?<$1>[^/]+)"));
      routes.add(new Route(route.method() + " " + route.path(), route.method(), path, target));
    }
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext("/", this::handle);
    server.start();
  }

  URI address() {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
  }

  /** Status and route of every request so far, as {@code 200 GET /v1/models}. */
  List<String> served() {
    synchronized (served) {
      return List.copyOf(served);
    }
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      Answer answer;
      try {
        answer = answer(exchange);
      } catch (InterruptedException stopped) {
        Thread.currentThread().interrupt();
        return;
      }
      Headers headers = exchange.getResponseHeaders();
      answer.headers().forEach(headers::set);
      allowOrigin(exchange);
      boolean empty = answer.body().length == 0;
      exchange.sendResponseHeaders(answer.status(), empty ? -1 : answer.body().length);
      if (!empty) {
        exchange.getResponseBody().write(answer.body());
      }
    }
  }

  private Answer answer(HttpExchange exchange) throws IOException, InterruptedException {
    String method = exchange.getRequestMethod();
    if (method.equals("OPTIONS") && exchange.getRequestHeaders().containsKey("Origin")) {
      return preflight(exchange);
    }
    String path = exchange.getRequestURI().getRawPath();
    for (Route route : routes) {
      Matcher matcher = route.path().matcher(path);
      if (route.method().equals(method) && matcher.matches()) {
        Answer answer = answer(exchange, route, matcher);
        served.add(answer.status() + " " + route.key());
        return answer;
      }
    }
    return Answer.message(404, "Not Found");
  }

  private Answer answer(HttpExchange exchange, Route route, Matcher matcher)
      throws IOException, InterruptedException {
    byte[] body = exchange.getRequestBody().readNBytes(MAX_REQUEST_BYTES + 1);
    if (body.length > MAX_REQUEST_BYTES) {
      return Answer.message(413, "Request Entity Too Large");
    }
    Map<String, String> parameters = new HashMap<>();
    Matcher names = PARAMETER.matcher(route.key());
    while (names.find()) {
      parameters.put(names.group(1), matcher.group(names.group(1)));
    }
    Map<String, String> headers = new HashMap<>();
    exchange
        .getRequestHeaders()
        .forEach(
            (name, values) -> headers.put(name.toLowerCase(Locale.ROOT), String.join(",", values)));
    byte[] event =
        new HttpApiEvent(
                route.key(), route.method(), exchange.getRequestURI(), parameters, headers, body)
            .json();
    if (event.length > MAX_PAYLOAD_BYTES) {
      return Answer.message(413, "Request Entity Too Large");
    }
    return invoke(route.target(), event);
  }

  private Answer invoke(Target target, byte[] event) throws IOException, InterruptedException {
    if (!target.queue().tryAcquire()) {
      return Answer.message(429, "Too Many Requests");
    }
    CompletableFuture<byte[]> invocation =
        CompletableFuture.supplyAsync(
            () -> {
              try {
                return target.function().invoke(event);
              } catch (IOException failed) {
                throw new CompletionException(failed);
              } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
                throw new CompletionException(stopped);
              } finally {
                target.queue().release();
              }
            },
            threads);
    try {
      byte[] payload = invocation.get(LIMIT_SECONDS, TimeUnit.SECONDS);
      return payload.length > MAX_PAYLOAD_BYTES
          ? Answer.message(500, "Internal Server Error")
          : read(JSON.readTree(payload));
    } catch (TimeoutException late) {
      return Answer.message(503, "Service Unavailable");
    } catch (ExecutionException failed) {
      LOG.warn("An event was not answered", failed.getCause());
      return Answer.message(500, "Internal Server Error");
    }
  }

  private static Answer read(JsonNode payload) {
    if (!payload.has("statusCode")) {
      return Answer.message(500, "Internal Server Error");
    }
    Map<String, String> headers = new HashMap<>();
    for (Map.Entry<String, JsonNode> header : payload.path("headers").properties()) {
      String name = header.getKey().toLowerCase(Locale.ROOT);
      // With CORS configured the API answers for it, and the server counts the bytes itself.
      if (!name.startsWith("access-control-") && !name.equals("content-length")) {
        headers.put(header.getKey(), header.getValue().asText());
      }
    }
    String body = payload.path("body").asText("");
    return new Answer(
        payload.path("statusCode").asInt(),
        headers,
        payload.path("isBase64Encoded").asBoolean()
            ? Base64.getDecoder().decode(body)
            : body.getBytes(UTF_8));
  }

  private Answer preflight(HttpExchange exchange) {
    @Nullable String method =
        exchange.getRequestHeaders().getFirst("Access-Control-Request-Method");
    @Nullable String asked =
        exchange.getRequestHeaders().getFirst("Access-Control-Request-Headers");
    boolean allowed =
        method != null
            && names("AllowMethods").contains(method.toLowerCase(Locale.ROOT))
            && (asked == null
                || names("AllowHeaders")
                    .containsAll(Arrays.asList(asked.toLowerCase(Locale.ROOT).split(" *, *", -1))));
    return new Answer(
        204,
        allowed && allows(exchange)
            ? Map.of(
                "Access-Control-Allow-Methods",
                String.join(",", names("AllowMethods")).toUpperCase(Locale.ROOT),
                "Access-Control-Allow-Headers",
                String.join(",", names("AllowHeaders")),
                "Access-Control-Max-Age",
                cors.path("MaxAge").asText())
            : Map.of(),
        new byte[0]);
  }

  private void allowOrigin(HttpExchange exchange) {
    if (allows(exchange)) {
      Headers headers = exchange.getResponseHeaders();
      headers.set("Access-Control-Allow-Origin", exchange.getRequestHeaders().getFirst("Origin"));
      headers.set("Access-Control-Expose-Headers", String.join(",", names("ExposeHeaders")));
    }
  }

  private boolean allows(HttpExchange exchange) {
    @Nullable String origin = exchange.getRequestHeaders().getFirst("Origin");
    return origin != null && names("AllowOrigins").contains(origin.toLowerCase(Locale.ROOT));
  }

  private List<String> names(String setting) {
    return StreamSupport.stream(cors.path(setting).spliterator(), false)
        .map(name -> name.asText().toLowerCase(Locale.ROOT))
        .toList();
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }
}
