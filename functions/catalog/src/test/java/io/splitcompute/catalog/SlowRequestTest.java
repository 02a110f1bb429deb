package io.splitcompute.catalog;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A request that comes a byte at a time is never idle and never whole (slowloris): a few hundred of
 * them must neither keep others waiting nor stay, or one laptop takes the server down.
 */
@Timeout(60)
final class SlowRequestTest {

  private static final String HEAD = "POST /v1/models/gpt2-plain/shards HTTP/1.1\r\nHost: a\r\n";
  private static final String BODY =
      HEAD + "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
  private static final int MANY = 100;

  @TempDir static Path folder;

  private static RunningCatalog catalog;

  @BeforeAll
  static void start() throws Exception {
    catalog = RunningCatalog.start(folder, Map.of("splitcompute.receive-within", "1s"));
  }

  @AfterAll
  static void stop() {
    catalog.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {HEAD, BODY})
  void shouldEndARequestThatTrickles(String beginning) throws Exception {
    try (Socket socket = connect()) {
      OutputStream out = socket.getOutputStream();
      out.write(beginning.getBytes(US_ASCII));
      Thread trickle = new Thread(() -> trickle(out));
      trickle.start();

      String answer = new String(socket.getInputStream().readAllBytes(), US_ASCII);

      assertTrue(answer.startsWith("HTTP/1.1 408 "), answer);
      assertTrue(answer.contains("Content-Type: application/problem+json\r\n"), answer);
      assertTrue(answer.contains("/problems/too-slow"), answer);
      trickle.interrupt();
      trickle.join();
    }
  }

  @Test
  void shouldAnswerOthersMeanwhile() throws Exception {
    List<Socket> slow = new ArrayList<>();
    try {
      for (int i = 0; i < MANY; i++) {
        Socket socket = connect();
        slow.add(socket);
        socket.getOutputStream().write(BODY.getBytes(US_ASCII));
      }

      assertEquals(200, catalog.get("/v1/models").statusCode());
      for (Socket socket : slow) {
        String answer = new String(socket.getInputStream().readAllBytes(), US_ASCII);
        assertTrue(answer.startsWith("HTTP/1.1 408 "), answer);
      }
    } finally {
      for (Socket socket : slow) {
        socket.close();
      }
    }
  }

  /** The time is a request's, not a connection's: a browser keeps its own for long. */
  @Test
  void shouldKeepAConnectionThatIsUsedForLonger() throws Exception {
    try (Socket socket = connect()) {
      for (int i = 0; i < 4; i++) {
        socket
            .getOutputStream()
            .write("GET /health HTTP/1.1\r\nHost: a\r\n\r\n".getBytes(US_ASCII));

        byte[] answer = socket.getInputStream().readNBytes("HTTP/1.1 200 ".length());

        assertEquals("HTTP/1.1 200 ", new String(answer, US_ASCII));
        Thread.sleep(500);
        socket.getInputStream().skipNBytes(socket.getInputStream().available());
      }
    }
  }

  private static Socket connect() throws IOException {
    URI server = catalog.server();
    return new Socket(server.getHost(), server.getPort());
  }

  private static void trickle(OutputStream out) {
    try {
      while (!Thread.interrupted()) {
        Thread.sleep(50);
        out.write('a');
      }
    } catch (IOException | InterruptedException ended) {
      // Which is what the test waits for.
    }
  }
}
