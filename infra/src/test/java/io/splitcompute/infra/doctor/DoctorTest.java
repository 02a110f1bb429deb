package io.splitcompute.infra.doctor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.splitcompute.doctor.DoctorCommand;
import io.splitcompute.local.LocalCloud;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The doctor finds the local cloud well, and says what is wrong where something is. */
final class DoctorTest {

  private static LocalCloud cloud;

  private record Visit(int exitCode, String out, String err) {}

  @BeforeAll
  static void start() throws Exception {
    cloud =
        LocalCloud.start(
            new LocalCloud.Options("127.0.0.1", 0, 0, List.of("bookworm"), null), line -> {});
  }

  @AfterAll
  static void stop() {
    cloud.close();
  }

  @Test
  void shouldFindTheLocalCloudWell() {
    Visit visit = visit(address(), "--site", address());

    assertEquals(0, visit.exitCode(), visit.out());
    for (String check :
        List.of(
            "API's preflight",
            "models",
            "manifest",
            "expiry",
            "store's preflight",
            "range",
            "shard",
            "revision",
            "cut 0",
            "cut 4",
            "cut 8",
            "agreement of cut 0",
            "agreement of cut 4",
            "agreement of cut 8",
            "WebGPU's context",
            "SDK's module")) {
      assertTrue(visit.out().contains("ok    " + check + ":"), () -> check + "\n" + visit.out());
    }
    // A laptop's page sends none of a site's headers.
    assertTrue(visit.out().contains("hint  Content-Security-Policy"), visit.out());
    assertFalse(visit.out().contains("WRONG"), visit.out());
  }

  /** A head that runs one layer less than was asked for, behind messages that look right. */
  @Test
  void shouldSayThatHalfTheLayersDoNotFitTheTail() throws Exception {
    try (TamperingProxy proxy =
        TamperingProxy.before(
            cloud.address(),
            request -> request.replace("\"cut\":4", "\"cut\":3"),
            answer -> answer.replace("\"cut\":\"3\"", "\"cut\":\"4\""))) {
      Visit visit = visit(proxy.address());

      assertEquals(1, visit.exitCode());
      assertTrue(visit.out().contains("ok    cut 4:"), visit.out());
      assertTrue(visit.out().contains("ok    agreement of cut 0:"), visit.out());
      assertTrue(visit.out().contains("WRONG agreement of cut 4:"), visit.out());
      assertTrue(visit.out().contains(", 1 wrong"), visit.out());
    }
  }

  /** A head that went on when its model was published anew. */
  @Test
  void shouldSayThatTheHeadRunsAnotherRevisionThanIsPublished() throws Exception {
    try (TamperingProxy proxy =
        TamperingProxy.before(
            cloud.address(),
            request -> request,
            answer -> answer.replaceFirst("\"revision\":\"....", "\"revision\":\"0000"))) {
      Visit visit = visit(proxy.address());

      assertEquals(1, visit.exitCode());
      assertTrue(visit.out().contains("WRONG revision: the head runs 0000"), visit.out());
      assertTrue(visit.out().contains(", 1 wrong"), visit.out());
    }
  }

  @Test
  void shouldSayThatTailsWereNotRun() {
    Visit visit = visit(address(), "--tail-megabytes", "1");

    assertEquals(0, visit.exitCode(), visit.out());
    assertTrue(visit.out().contains("hint  tails: not run"), visit.out());
    assertTrue(visit.out().contains("ok    agreement of cut 8:"), visit.out());
    assertFalse(visit.out().contains("agreement of cut 4:"), visit.out());
  }

  @Test
  void shouldSayThatAModelIsNotPublished() {
    Visit visit = visit(address(), "--model", "gpt2");

    assertEquals(1, visit.exitCode());
    assertTrue(visit.out().contains("WRONG models: gpt2 is not published"), visit.out());
    assertTrue(visit.out().contains("→ publish one"), visit.out());
  }

  @Test
  void shouldSayThatSomethingElseAnswers() throws Exception {
    HttpServer other =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    other.createContext(
        "/",
        exchange -> {
          exchange.sendResponseHeaders(404, -1);
          exchange.close();
        });
    other.start();
    try {
      Visit visit = visit("http://127.0.0.1:" + other.getAddress().getPort());

      assertEquals(1, visit.exitCode());
      assertTrue(visit.out().contains("WRONG API: GET v1/models answers 404"), visit.out());
    } finally {
      other.stop(0);
    }
  }

  @Test
  void shouldSayThatNothingAnswers() {
    Visit visit = visit("http://127.0.0.1:1");

    assertEquals(1, visit.exitCode());
    assertTrue(visit.out().contains("WRONG API"), visit.out());
  }

  @Test
  void shouldRefuseWhatIsNoAddress() {
    for (String address : List.of("example.org", "ftp://example.org", "http://")) {
      Visit visit = visit(address);

      assertEquals(2, visit.exitCode(), address);
      assertTrue(visit.err().contains("--help"), visit.err());
    }
  }

  private static String address() {
    return cloud.address().toString();
  }

  private static Visit visit(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int exitCode =
        DoctorCommand.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    return new Visit(exitCode, out.toString(), err.toString());
  }
}
