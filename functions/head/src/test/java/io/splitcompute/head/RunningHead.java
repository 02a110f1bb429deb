package io.splitcompute.head;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.micronaut.context.ApplicationContext;
import io.micronaut.runtime.server.EmbeddedServer;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.head.model.Heads;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The head on Netty, with models of the fixtures. */
final class RunningHead implements AutoCloseable {

  static final JsonMapper JSON = new JsonMapper();

  private final EmbeddedServer server;
  private final HttpClient client = HttpClient.newHttpClient();

  private RunningHead(EmbeddedServer server) {
    this.server = server;
  }

  static RunningHead start(Map<String, Object> more, String... models) throws Exception {
    Map<String, Object> properties = new LinkedHashMap<>();
    properties.put("micronaut.server.port", -1);
    properties.put("splitcompute.weights", "file:" + ShardedFixtures.with(models));
    properties.put("splitcompute.models", List.of(models));
    properties.putAll(more);
    EmbeddedServer server = ApplicationContext.run(EmbeddedServer.class, properties);
    Heads heads = server.getApplicationContext().getBean(Heads.class);
    while (!heads.ready()) {
      Thread.sleep(10);
    }
    return new RunningHead(server);
  }

  static RunningHead start(String... models) throws Exception {
    return start(Map.of(), models);
  }

  URI address() {
    return server.getURI();
  }

  ApplicationContext context() {
    return server.getApplicationContext();
  }

  HttpResponse<byte[]> embed(byte[] body, String... headers) throws IOException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(server.getURI() + "/v1/embed"))
            .POST(HttpRequest.BodyPublishers.ofByteArray(body));
    if (headers.length > 0) {
      request.headers(headers);
    }
    return send(request.build());
  }

  HttpResponse<byte[]> embed(Map<String, ?> body, String... headers) throws IOException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(server.getURI() + "/v1/embed"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(JSON.writeValueAsBytes(body)));
    if (headers.length > 0) {
      request.headers(headers);
    }
    return send(request.build());
  }

  /** The activations of a cut, in f32 and not pooled. */
  ReadMessage activations(String model, List<?> input, int cut) throws IOException {
    Map<String, Object> body =
        Map.of("model", model, "input", input, "cut", cut, "dtype", "f32", "pooling", "none");
    return ReadMessage.of(embed(body, "Accept", ActivationsMessage.MEDIA_TYPE).body());
  }

  HttpResponse<byte[]> post(String path, Map<String, ?> body) throws IOException {
    return send(
        HttpRequest.newBuilder(URI.create(server.getURI() + path))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(JSON.writeValueAsBytes(body)))
            .build());
  }

  HttpResponse<byte[]> send(String method, String path, String... headers) throws IOException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(server.getURI() + path))
            .method(method, HttpRequest.BodyPublishers.noBody());
    if (headers.length > 0) {
      request.headers(headers);
    }
    return send(request.build());
  }

  private HttpResponse<byte[]> send(HttpRequest request) throws IOException {
    try {
      return client.send(request, HttpResponse.BodyHandlers.ofByteArray());
    } catch (InterruptedException stopped) {
      throw new IOException(stopped);
    }
  }

  static JsonNode json(HttpResponse<byte[]> response) throws IOException {
    return JSON.readTree(response.body());
  }

  static String type(HttpResponse<?> response) {
    return response.headers().firstValue("Content-Type").orElse("");
  }

  @Override
  public void close() {
    server.close();
    server.getApplicationContext().close();
  }
}
