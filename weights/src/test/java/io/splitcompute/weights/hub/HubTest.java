package io.splitcompute.weights.hub;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.hub.MisbehavingHub.Lie;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A checkpoint comes whole from a hub that breaks off, stalls and lies, or not at all. */
class HubTest extends PullTestBase {

  private void assertNoWeights() throws IOException {
    assertFalse(Files.exists(out.resolve(WEIGHTS)));
    assertNothingPartial();
  }

  @Test
  void shouldFetchWhatACheckpointNeedsAndNothingElse() throws Exception {
    hub.with("tokenizer_config.json", new byte[] {'{', '}'});

    assertEquals(MisbehavingHub.COMMIT, pull());

    assertWhole();
    assertTrue(Files.exists(out.resolve("tokenizer_config.json")));
    assertFalse(Files.exists(out.resolve("README.md")));
    assertFalse(Files.exists(out.resolve("pytorch_model.bin")));
  }

  @Test
  void shouldTellBytesOfTheWholeAndNeverFewer() throws Exception {
    hub.then((exchange, content) -> false).then(MisbehavingHub.breaksAfter(100));
    List<Long> told = new ArrayList<>();

    client()
        .pull(
            MisbehavingHub.MODEL,
            "main",
            out,
            (done, all) -> {
              assertTrue(done <= all);
              told.add(done);
            });

    long all = weights.length + Files.size(out.resolve("config.json"));
    assertEquals(all, told.get(told.size() - 1));
    assertEquals(told.stream().sorted().toList(), told);
  }

  @Test
  void shouldGoOnAtTheByteWhereTheConnectionBroke() throws Exception {
    hub.then((exchange, content) -> false)
        .then(MisbehavingHub.breaksAfter(100))
        .then(MisbehavingHub.breaksAfter(50));

    pull();

    assertWhole();
    List<String> ranges =
        hub.requests.stream().filter(request -> request.contains("bytes=")).toList();
    assertEquals(2, ranges.size());
    assertTrue(ranges.get(0).endsWith(WEIGHTS + " bytes=100-"), ranges.toString());
    assertTrue(ranges.get(1).endsWith(WEIGHTS + " bytes=150-"), ranges.toString());
  }

  @Test
  void shouldGoOnInALaterRun() throws Exception {
    hub.then((exchange, content) -> false);
    for (int i = 0; i < 8; i++) {
      hub.then(MisbehavingHub.breaksAfter(i == 0 ? 200 : 0));
    }
    assertThrows(IOException.class, this::pull);
    assertFalse(Files.exists(out.resolve(WEIGHTS)));
    hub.requests.clear();
    hub.then((exchange, content) -> false);
    while (hub.requests.isEmpty()) {
      try {
        pull();
      } catch (IOException stillBroken) {
        hub.requests.clear();
      }
    }

    assertWhole();
    assertTrue(hub.requests.stream().anyMatch(request -> request.endsWith("bytes=200-")));
  }

  @ParameterizedTest
  @ValueSource(ints = {429, 500, 503})
  void shouldComeBackToAServerThatIsBusy(int status) throws Exception {
    hub.then(MisbehavingHub.status(status, "Retry-After", "0")).then(MisbehavingHub.status(status));

    pull();

    assertWhole();
  }

  @Test
  void shouldStartAnewWhereAServerIgnoresRanges() throws Exception {
    hub.then((exchange, content) -> false)
        .then(MisbehavingHub.breaksAfter(100))
        .then(
            (exchange, content) -> {
              exchange.sendResponseHeaders(200, content.length);
              exchange.getResponseBody().write(content);
              return true;
            });

    pull();

    assertWhole();
  }

  @Test
  void shouldRefuseAnotherRangeThanTheOneAskedFor() throws Exception {
    hub.then((exchange, content) -> false)
        .then(MisbehavingHub.breaksAfter(100))
        .then(
            (exchange, content) -> {
              exchange.getResponseHeaders().set("Content-Range", "bytes 0-9/" + content.length);
              exchange.sendResponseHeaders(206, 10);
              exchange.getResponseBody().write(content, 0, 10);
              return true;
            });

    assertSays("range", assertThrows(HubException.class, this::pull));
    assertFalse(Files.exists(out.resolve(WEIGHTS)));
  }

  @Test
  void shouldRefuseMoreBytesThanAnnounced() throws Exception {
    hub.lying(WEIGHTS, new Lie(weights.length - 10L, null));

    assertSays("more bytes", assertThrows(HubException.class, this::pull));
    assertNoWeights();
  }

  @Test
  void shouldGiveUpOnFewerBytesThanAnnounced() throws Exception {
    hub.lying(WEIGHTS, new Lie(weights.length + 10L, null));

    assertThrows(IOException.class, this::pull);
    assertFalse(Files.exists(out.resolve(WEIGHTS)));
  }

  @Test
  void shouldRefuseBytesOfAnotherHash() throws Exception {
    hub.lying(WEIGHTS, new Lie(null, "0".repeat(64)));

    assertSays("hash", assertThrows(HubException.class, this::pull));
    assertNoWeights();
  }

  @Test
  void shouldRefuseASmallFileOfAnotherHash() throws Exception {
    hub.lying("config.json", new Lie(null, "0".repeat(40)));

    assertThrows(HubException.class, this::pull);
    assertNoWeights();
  }

  @Test
  void shouldNotBeginWhatTheDiskHasNoRoomFor() {
    hub.lying(WEIGHTS, new Lie(1L << 60, null));

    assertSays("has room for", assertThrows(HubException.class, this::pull));
  }

  @Test
  void shouldNotCountWhatWasBegunAsMissing() throws Exception {
    hub.then((exchange, content) -> false);
    for (int i = 0; i < 4; i++) {
      hub.then(MisbehavingHub.breaksAfter(i == 0 ? 200 : 0));
    }
    assertThrows(IOException.class, this::pull);
    HubModel model = new HubModel(MisbehavingHub.MODEL, MisbehavingHub.COMMIT, List.of());
    HubFile file = new HubFile(WEIGHTS, weights.length, new HubFile.Lfs(Sha256.of(weights)));

    assertEquals(weights.length - 200L, new HubDownload(client(), model, file, out).missing());
  }

  @Test
  void shouldRefuseSizesThatNothingCanHave() {
    hub.lying(WEIGHTS, new Lie(Long.MAX_VALUE, null));

    assertSays("more bytes than there can be", assertThrows(HubException.class, this::pull));
  }

  @Test
  void shouldRefuseSmallFilesThatAreNot() {
    hub.lying("config.json", new Lie((64L << 20) + 1, null));

    assertSays("at most 67108864 are taken", assertThrows(HubException.class, this::pull));
  }

  @Test
  void shouldFetchThePoolingFromWhereverItIs() throws Exception {
    hub.with("pooling.v2/config.json", new byte[] {'{', '}'});

    pull();

    assertTrue(Files.exists(out.resolve("pooling.v2/config.json")));
  }

  @Test
  void shouldTakeShardsWhereThereIsNoWholeFile() throws Exception {
    try (MisbehavingHub sharded = new MisbehavingHub()) {
      sharded
          .with("config.json", "{}".getBytes(UTF_8))
          .with("model-00001-of-00002.safetensors", weights)
          .with("model-00002-of-00002.safetensors", weights)
          .with("model.safetensors.index.json", "{}".getBytes(UTF_8));

      Hub.impatient(sharded.uri(), Optional.empty(), Duration.ofSeconds(5))
          .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {});
    }

    assertTrue(Files.exists(out.resolve("model-00002-of-00002.safetensors")));
    assertTrue(Files.exists(out.resolve("model.safetensors.index.json")));
  }

  @Test
  void shouldSayThatAModelHasNoSafetensors() throws Exception {
    try (MisbehavingHub old = new MisbehavingHub()) {
      old.with("config.json", new byte[] {'{', '}'}).with("pytorch_model.bin", new byte[] {1});

      HubException refused =
          assertThrows(
              HubException.class,
              () ->
                  Hub.impatient(old.uri(), Optional.empty(), Duration.ofSeconds(5))
                      .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {}));

      assertSays("no weights in safetensors", refused);
    }
  }
}
