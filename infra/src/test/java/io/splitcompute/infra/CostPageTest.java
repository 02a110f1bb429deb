package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The cost page says what the prices and the stacks say; {@code -Dcost.write} writes it anew. */
final class CostPageTest {

  private static final Path PAGE = Path.of("..", "docs", "cost.md");

  @Test
  void shouldSayWhatPricesAndStacksSay() throws Exception {
    if (System.getProperty("cost.write") != null) {
      Files.writeString(PAGE, CostPage.text());
    }

    assertEquals(
        CostPage.text(),
        Files.readString(PAGE),
        "write it anew: ./mvnw -pl infra -am test -Dtest=CostPageTest -Dcost.write"
            + " -Dsurefire.failIfNoSpecifiedTests=false");
  }
}
