package io.splitcompute.weights.hub;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/** A hub with one model, which does to its answers what a test asks for. */
final class MisbehavingHub implements AutoCloseable {

  static final String MODEL = "owner/tiny";
  static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

  /** What is done with an answer instead of giving it. */
  @FunctionalInterface
  interface Fault {
    /**
     * @return whether the exchange was dealt with
     */
    boolean answer(HttpExchange exchange, byte[] content) throws IOException;
  }

  /** A file that is announced as it is not. */
  record Lie(@Nullable Long bytes, @Nullable String hash) {}

  final List<String> requests = new CopyOnWriteArrayList<>();
  final List<String> authorizations = new CopyOnWriteArrayList<>();
  private final HttpServer server;
  private final Map<String, byte[]> files = new LinkedHashMap<>();
  private final Map<String, Lie> lies = new LinkedHashMap<>();
  private final List<Fault> faults = new CopyOnWriteArrayList<>();

  MisbehavingHub() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(Executors.newCachedThreadPool());
    server.createContext("/", this::handle);
    server.start();
  }

  /** With what the hub has of a checkpoint, and what no checkpoint needs. */
  static MisbehavingHub of(Path checkpoint) throws IOException {
    MisbehavingHub hub = new MisbehavingHub();
    for (String file : List.of("config.json", "model.safetensors")) {
      hub.with(file, Files.readAllBytes(checkpoint.resolve(file)));
    }
    return hub.with("README.md", "not needed".getBytes(UTF_8))
        .with("pytorch_model.bin", new byte[] {1, 2, 3});
  }

  URI uri() {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
  }

  MisbehavingHub with(String path, byte[] content) {
    files.put(path, content);
    return this;
  }

  MisbehavingHub lying(String path, Lie lie) {
    lies.put(path, lie);
    return this;
  }

  /**
   * Meets the next answer that a file is asked for with a fault; several come one after the other.
   */
  MisbehavingHub then(Fault fault) {
    faults.add(fault);
    return this;
  }

  /** Sends so many bytes of a file and breaks the connection. */
  static Fault breaksAfter(int bytes) {
    return (exchange, content) -> {
      byte[] rest = rest(exchange, content);
      exchange.sendResponseHeaders(200 + (rest.length < content.length ? 6 : 0), rest.length);
      exchange.getResponseBody().write(rest, 0, Math.min(bytes, rest.length));
      exchange.getResponseBody().flush();
      // The server closes a connection on which less was sent than announced.
      exchange.close();
      return true;
    };
  }

  static Fault status(int status, String... headers) {
    return (exchange, content) -> {
      for (int i = 0; i < headers.length; i += 2) {
        exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
      }
      exchange.sendResponseHeaders(status, -1);
      exchange.close();
      return true;
    };
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      String path = exchange.getRequestURI().getPath();
      String range = exchange.getRequestHeaders().getFirst("Range");
      requests.add(path + (range == null ? "" : " " + range));
      authorizations.add(String.valueOf(exchange.getRequestHeaders().getFirst("Authorization")));
      if (path.equals("/api/models/tiny/revision/main")) {
        status(307, "Location", "/api/models/owner/tiny/revision/main?blobs=true")
            .answer(exchange, new byte[0]);
      } else if (path.equals("/api/models/forgetful/revision/main")) {
        status(307, "Location", "/api/models/owner/tiny/revision/main#")
            .answer(exchange, new byte[0]);
      } else if (path.equals("/api/models/" + MODEL + "/revision/main")) {
        send(exchange, 200, listing("blobs=true".equals(exchange.getRequestURI().getQuery())));
      } else {
        file(exchange, path);
      }
    }
  }

  private void file(HttpExchange exchange, String path) throws IOException {
    String prefix = "/" + MODEL + "/resolve/" + COMMIT + "/";
    byte[] content = path.startsWith(prefix) ? files.get(path.substring(prefix.length())) : null;
    if (content == null) {
      send(exchange, 404, new byte[0]);
      return;
    }
    if (!faults.isEmpty() && faults.remove(0).answer(exchange, content)) {
      return;
    }
    byte[] rest = rest(exchange, content);
    int offset = content.length - rest.length;
    if (offset > 0) {
      exchange
          .getResponseHeaders()
          .set(
              "Content-Range",
              "bytes " + offset + "-" + (content.length - 1) + "/" + content.length);
    }
    send(exchange, offset > 0 ? 206 : 200, rest);
  }

  private static byte[] rest(HttpExchange exchange, byte[] content) {
    String range = exchange.getRequestHeaders().getFirst("Range");
    int offset = range == null ? 0 : Integer.parseInt(range.replace("bytes=", "").replace("-", ""));
    if (offset > 0) {
      exchange
          .getResponseHeaders()
          .set(
              "Content-Range",
              "bytes " + offset + "-" + (content.length - 1) + "/" + content.length);
    }
    return Arrays.copyOfRange(content, offset, content.length);
  }

  private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
    exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
    try (OutputStream out = exchange.getResponseBody()) {
      out.write(body);
    }
  }

  private byte[] listing(boolean blobs) throws IOException {
    List<Map<String, Object>> siblings = new ArrayList<>();
    for (Map.Entry<String, byte[]> file : files.entrySet()) {
      byte[] content = file.getValue();
      Lie lie = lies.getOrDefault(file.getKey(), new Lie(null, null));
      Map<String, Object> sibling = new LinkedHashMap<>();
      sibling.put("rfilename", file.getKey());
      siblings.add(sibling);
      if (!blobs) {
        continue;
      }
      sibling.put("size", lie.bytes() == null ? content.length : lie.bytes());
      if (file.getKey().endsWith(".safetensors")) {
        sibling.put("lfs", Map.of("sha256", lie.hash() == null ? Sha256.of(content) : lie.hash()));
      } else {
        sibling.put("blobId", lie.hash() == null ? gitBlob(content) : lie.hash());
      }
    }
    return new JsonMapper()
        .writeValueAsBytes(Map.of("id", MODEL, "sha", COMMIT, "siblings", siblings));
  }

  private static String gitBlob(byte[] content) throws IOException {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-1");
      digest.update(("blob " + content.length + "\0").getBytes(UTF_8));
      return HexFormat.of().formatHex(digest.digest(content));
    } catch (java.security.NoSuchAlgorithmException impossible) {
      throw new IOException(impossible);
    }
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
