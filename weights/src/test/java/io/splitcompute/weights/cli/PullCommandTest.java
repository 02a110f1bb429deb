package io.splitcompute.weights.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.ServerSocket;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What {@code pull} says to a person. */
class PullCommandTest {

  @ParameterizedTest
  @ValueSource(strings = {"", "../etc", "a/b/c", "owner/", "/name", "owner/a..b", "https://hub/x"})
  void shouldRefuseWhatIsNoModelsName(String name) {
    Outcome outcome = Outcome.of("pull", name);

    assertEquals(2, outcome.exitCode());
    assertEquals(1, outcome.err().lines().count(), outcome.err());
  }

  @Test
  void shouldSayInOneLineThatTheHubCannotBeReached() {
    Outcome outcome = Outcome.of("pull", "gpt2", "--endpoint", "ftp://127.0.0.1");

    assertEquals(2, outcome.exitCode());
    assertTrue(outcome.err().contains("http"), outcome.err());
  }

  @Test
  void shouldSayThatItTriesAgainAndSoonThatNobodyIsThere() throws Exception {
    int nobody;
    try (ServerSocket socket = new ServerSocket(0)) {
      nobody = socket.getLocalPort();
    }

    Outcome outcome = Outcome.of("pull", "gpt2", "--endpoint", "http://127.0.0.1:" + nobody);

    assertEquals(1, outcome.exitCode());
    List<String> lines = outcome.err().lines().toList();
    assertEquals(2, lines.size(), outcome.err());
    assertTrue(lines.get(0).endsWith("; trying again in 1 s"), outcome.err());
    assertTrue(lines.get(1).contains("127.0.0.1 cannot be reached (Connection refused)"));
  }

  @Test
  void shouldExplainTheToken() {
    assertTrue(Outcome.of("pull", "--help").out().contains("HF_TOKEN"));
  }
}
