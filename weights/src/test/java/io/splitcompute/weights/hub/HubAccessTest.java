package io.splitcompute.weights.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A hub is reached by its redirects, with a token for it alone, or it is said why not. */
class HubAccessTest extends PullTestBase {

  @Test
  void shouldFollowANameToItsOwner() throws Exception {
    client().pull("tiny", "main", out, (done, all) -> {});

    assertWhole();
  }

  @Test
  void shouldPutBackWhatARedirectForgets() throws Exception {
    client().pull("forgetful", "main", out, (done, all) -> {});

    assertWhole();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "http://a b/c",
        "http://[::1",
        "%zz",
        "mailto:someone@example.org",
        "gopher://127.0.0.1/x",
        "http:nowhere",
        "http://127.0.0.1:99999/x",
        "file:///etc/passwd"
      })
  void shouldNotFollowToWhatIsNoAddress(String location) {
    hub.then(MisbehavingHub.status(302, "Location", location));

    assertSays("not one of HTTP", assertThrows(HubException.class, this::pull));
  }

  @Test
  void shouldNotFollowRedirectsInACircle() {
    for (int i = 0; i < 10; i++) {
      hub.then(
          (exchange, content) ->
              MisbehavingHub.status(302, "Location", exchange.getRequestURI().toString())
                  .answer(exchange, content));
    }

    assertSays("circle", assertThrows(HubException.class, this::pull));
  }

  @Test
  void shouldSayThatAModelIsNotThere() {
    HubException refused =
        assertThrows(
            HubException.class, () -> client().pull("owner/other", "main", out, (done, all) -> {}));

    assertSays("no such model", refused);
  }

  @ParameterizedTest
  @ValueSource(ints = {401, 403})
  void shouldSayThatATokenIsNeeded(int status) throws Exception {
    hub.then(MisbehavingHub.status(status));

    assertSays("HF_TOKEN", assertThrows(HubException.class, this::pull));
  }

  @Test
  void shouldSendTheTokenToTheHubAndToNoOtherHost() throws Exception {
    try (MisbehavingHub store = new MisbehavingHub().with(WEIGHTS, weights)) {
      String elsewhere =
          store.uri() + "/" + MisbehavingHub.MODEL + "/resolve/" + MisbehavingHub.COMMIT + "/";
      hub.then((exchange, content) -> false)
          .then(MisbehavingHub.status(302, "Location", elsewhere + WEIGHTS));

      Hub.impatient(hub.uri(), Optional.of("secret"), Duration.ofSeconds(5))
          .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {});

      assertWhole();
      assertEquals(List.of("null"), store.authorizations);
    }
    assertTrue(hub.authorizations.stream().allMatch("Bearer secret"::equals));
  }

  @Test
  void shouldNotSayATokenThatIsNone() throws Exception {
    Hub split = Hub.impatient(hub.uri(), Optional.of("hf_secret\nmore"), Duration.ofSeconds(5));

    HubException refusal =
        assertThrows(
            HubException.class,
            () -> split.pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {}));

    assertSays("HF_TOKEN has characters that no token has", refusal);
    assertFalse(refusal.toString().contains("secret"));
    Hub.impatient(hub.uri(), Optional.of(" hf_secret\n"), Duration.ofSeconds(5))
        .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {});
    assertTrue(hub.authorizations.stream().allMatch("Bearer hf_secret"::equals));
  }

  @Test
  void shouldSayThatTheHubCannotBeReached() throws Exception {
    URI nobody;
    try (ServerSocket socket = new ServerSocket(0)) {
      nobody = URI.create("http://127.0.0.1:" + socket.getLocalPort());
    }

    IOException offline =
        assertThrows(
            IOException.class,
            () ->
                Hub.impatient(nobody, Optional.empty(), Duration.ofSeconds(1))
                    .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {}));

    assertSays("cannot be reached", offline);
  }

  @Test
  void shouldSayThatTheHostIsUnknown() {
    // A name that is never given to a host (RFC 6761).
    URI nowhere = URI.create("http://hub.invalid");

    IOException offline =
        assertThrows(
            IOException.class,
            () ->
                Hub.impatient(nowhere, Optional.empty(), Duration.ofSeconds(1))
                    .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {}));

    assertSays("hub.invalid cannot be reached (unknown host)", offline);
  }

  @Test
  void shouldNotWaitForEverForAServerThatStalls() {
    for (int i = 0; i < 4; i++) {
      hub.then(
          (exchange, content) -> {
            try {
              Thread.sleep(2_000);
            } catch (InterruptedException stopped) {
              Thread.currentThread().interrupt();
            }
            return false;
          });
    }

    assertThrows(
        IOException.class,
        () ->
            Hub.impatient(hub.uri(), Optional.empty(), Duration.ofMillis(200))
                .pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {}));
  }
}
