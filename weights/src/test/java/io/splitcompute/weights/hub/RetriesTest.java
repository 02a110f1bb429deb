package io.splitcompute.weights.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ConnectException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** How often what fails is done again, and what is told of it. */
class RetriesTest {

  private final List<Duration> waits = new ArrayList<>();
  private final Retries retries = Retries.impatient((failed, wait) -> waits.add(wait));
  private int attempts;

  private boolean fail(IOException failure) throws IOException {
    attempts++;
    throw failure;
  }

  private static IOException unreachable() {
    return new Retries.Unreachable("nobody", new ConnectException());
  }

  @Test
  void shouldTellOfEachWait() {
    assertThrows(
        IOException.class, () -> retries.of(() -> fail(new IOException("reset")), () -> false));

    assertEquals(4, attempts);
    assertEquals(3, waits.size());
    assertTrue(waits.stream().noneMatch(Duration::isZero), waits.toString());
  }

  @Test
  void shouldSoonGiveUpOnAHubThatIsNotThere() {
    assertThrows(IOException.class, () -> retries.ofFirst(() -> fail(unreachable())));

    assertEquals(2, attempts);
    assertEquals(1, waits.size());
  }

  @Test
  void shouldWaitForAHubThatWasThere() {
    assertThrows(IOException.class, () -> retries.of(() -> fail(unreachable()), () -> false));
    assertEquals(4, attempts);

    attempts = 0;
    assertThrows(
        IOException.class, () -> retries.ofFirst(() -> fail(new Retries.Busy("later", null))));
    assertEquals(4, attempts);
  }

  @Test
  void shouldTellOfNothingWhereTheHubRefuses() {
    assertThrows(
        HubException.class,
        () -> retries.of(() -> fail(new HubException("no such model")), () -> false));

    assertEquals(1, attempts);
    assertEquals(List.of(), waits);
  }
}
