package io.splitcompute.infra.doctor;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.splitcompute.doctor.DoctorCommand;
import io.splitcompute.local.LocalCloud;
import io.splitcompute.weights.InvalidManifestException;
import io.splitcompute.weights.Manifest;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The doctor finds the local cloud well, and says what is wrong where something is. */
final class DoctorTest {

  private static final String EMBED = "/v1/embed";
  private static final String MANIFEST = "/v1/models/bookworm/manifest";

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
            EMBED,
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
            EMBED,
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

  /** Cut n is asked for twice: activations first, then the embedding. */
  @Test
  void shouldSayThatTheHeadRefusesTheEmbedding() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (TamperingProxy proxy =
        TamperingProxy.before(
            cloud.address(),
            EMBED,
            request ->
                request.contains("\"cut\":8") && asked.incrementAndGet() == 2
                    ? request.replace("\"cut\":8", "\"cut\":99")
                    : request,
            answer -> answer)) {
      Visit visit = visit(proxy.address());

      assertEquals(1, visit.exitCode());
      assertTrue(visit.out().contains("ok    cut 8:"), visit.out());
      assertTrue(visit.out().contains("WRONG embedding: status 400"), visit.out());
      assertFalse(visit.out().contains("NaN"), visit.out());
    }
  }

  @Test
  void shouldSayThatAnotherModelsManifestIsServed() throws Exception {
    try (TamperingProxy proxy =
        TamperingProxy.before(
            cloud.address(),
            MANIFEST,
            request -> request,
            answer -> answer.replace("\"bookworm\"", "\"gpt2\""))) {
      Visit visit = visit(proxy.address());

      assertEquals(1, visit.exitCode());
      assertTrue(
          visit.out().contains("WRONG manifest: the manifest of bookworm is the model gpt2's"),
          visit.out());
    }
  }

  @Test
  void shouldOnlyHintAtShardsThatAreLargerThanTheHeap() throws Exception {
    try (TamperingProxy proxy =
        TamperingProxy.before(
            cloud.address(),
            MANIFEST,
            request -> request,
            answer -> withShardsOf(1L << 40, answer))) {
      Visit visit = visit(proxy.address(), "--tail-megabytes", "1000000000");

      assertTrue(visit.out().contains("hint  shard: not read"), visit.out());
      assertTrue(visit.out().contains("hint  tails: not read"), visit.out());
      assertFalse(visit.out().contains("is not what the manifest says"), visit.out());
    }
  }

  @Test
  void shouldSayThatAShardIsLongerThanItsManifestSays() throws Exception {
    try (TamperingProxy proxy =
        TamperingProxy.before(
            cloud.address(), MANIFEST, request -> request, answer -> withShardsOf(1000, answer))) {
      Visit visit = visit(proxy.address());

      assertEquals(1, visit.exitCode());
      assertTrue(
          visit.out().contains("not what the manifest says: status 200, 1001 bytes read"),
          visit.out());
    }
  }

  /** The request's own timeout would end with the headers. */
  @Test
  void shouldSayThatAnAnswerStalls() throws Exception {
    HttpServer stalling =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    stalling.createContext("/", exchange -> exchange.sendResponseHeaders(200, 100));
    stalling.start();
    try {
      Visit visit =
          visit("http://127.0.0.1:" + stalling.getAddress().getPort(), "--timeout-seconds", "1");

      assertEquals(1, visit.exitCode());
      assertTrue(
          visit.out().contains("WRONG API: an answer began and did not end within 1 s"),
          visit.out());
    } finally {
      stalling.stop(0);
    }
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

  /** The same manifest, had each shard so many bytes. */
  private static String withShardsOf(long bytes, String json) {
    try {
      Manifest manifest = Manifest.parse(json.getBytes(ISO_8859_1));
      List<Manifest.Unit> units = new ArrayList<>();
      for (Manifest.Unit unit : manifest.units()) {
        Map<String, Manifest.Shard> variants = new LinkedHashMap<>();
        unit.variants()
            .forEach(
                (dtype, shard) ->
                    variants.put(
                        dtype,
                        new Manifest.Shard(
                            shard.sha256(),
                            bytes,
                            List.of(new Manifest.Part(0, bytes, shard.sha256())),
                            shard.canary())));
        units.add(new Manifest.Unit(unit.name(), variants));
      }
      return new String(
          new Manifest(
                  manifest.model(),
                  manifest.family(),
                  manifest.layers(),
                  manifest.hiddenSize(),
                  manifest.vocabularySize(),
                  manifest.maxTokens(),
                  manifest.truncateTokens(),
                  manifest.embeddings(),
                  manifest.layer(),
                  manifest.finalNorm(),
                  manifest.pooling(),
                  manifest.prompts(),
                  manifest.dtypes(),
                  units,
                  manifest.tokenizer())
              .bytes(),
          ISO_8859_1);
    } catch (InvalidManifestException impossible) {
      throw new AssertionError(impossible);
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
