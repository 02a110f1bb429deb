package io.splitcompute.infra.doctor;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.UnaryOperator;

/** Stands before a cloud and changes what is asked of one of its paths and answered there. */
final class TamperingProxy implements AutoCloseable {

  private static final List<String> ASKED =
      List.of(
          "Content-Type",
          "Accept",
          "Origin",
          "Access-Control-Request-Method",
          "Access-Control-Request-Headers");
  // Its own server writes these.
  private static final Set<String> OF_THE_CONNECTION =
      Set.of("connection", "content-length", "date", "transfer-encoding");

  private final HttpClient client = HttpClient.newHttpClient();
  private final URI cloud;
  private final String path;
  private final UnaryOperator<String> asked;
  private final UnaryOperator<String> answered;
  private final HttpServer server;

  private TamperingProxy(
      URI cloud,
      String path,
      UnaryOperator<String> asked,
      UnaryOperator<String> answered,
      HttpServer server) {
    this.cloud = cloud;
    this.path = path;
    this.asked = asked;
    this.answered = answered;
    this.server = server;
  }

  /** Changes bodies as text of one byte a character, so that their binary parts stay. */
  static TamperingProxy before(
      URI cloud, String path, UnaryOperator<String> asked, UnaryOperator<String> answered)
      throws IOException {
    HttpServer server =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    TamperingProxy proxy = new TamperingProxy(cloud, path, asked, answered, server);
    server.createContext("/", proxy::pass);
    server.start();
    return proxy;
  }

  String address() {
    return "http://127.0.0.1:" + server.getAddress().getPort();
  }

  private void pass(HttpExchange exchange) throws IOException {
    String asks = exchange.getRequestURI().getPath();
    boolean tampered = asks.equals(path);
    byte[] body = exchange.getRequestBody().readAllBytes();
    HttpRequest.Builder request =
        HttpRequest.newBuilder(cloud.resolve(asks))
            .method(
                exchange.getRequestMethod(),
                HttpRequest.BodyPublishers.ofByteArray(tampered ? changed(body, asked) : body));
    for (String header : ASKED) {
      String value = exchange.getRequestHeaders().getFirst(header);
      if (value != null) {
        request.header(header, value);
      }
    }
    HttpResponse<byte[]> answer;
    try {
      answer = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
    } catch (InterruptedException stopped) {
      throw new IOException(stopped);
    }
    answer
        .headers()
        .map()
        .forEach(
            (header, values) -> {
              if (!OF_THE_CONNECTION.contains(header.toLowerCase(Locale.ROOT))) {
                exchange.getResponseHeaders().put(header, values);
              }
            });
    byte[] given = tampered ? changed(answer.body(), answered) : answer.body();
    exchange.sendResponseHeaders(answer.statusCode(), given.length == 0 ? -1 : given.length);
    exchange.getResponseBody().write(given);
    exchange.close();
  }

  private static byte[] changed(byte[] body, UnaryOperator<String> change) {
    return change.apply(new String(body, ISO_8859_1)).getBytes(ISO_8859_1);
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
