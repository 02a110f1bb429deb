package io.splitcompute.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A name becomes part of keys and paths, so it must not lead anywhere else. */
class ModelNameTest {

  @ParameterizedTest
  @ValueSource(strings = {"a", "GPT-2", "all-MiniLM-L6-v2", "0_1.2-3"})
  void shouldTakeANameOfTheHub(String name) {
    assertEquals(name, new ModelName(name).toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", ".", "..", "a..b", "-a", "_a", ".a", "a/b", "a\\b", "a b", "a\n", "é", "a%2f"})
  void shouldRefuseWhatIsNone(String name) {
    assertThrows(IllegalArgumentException.class, () -> new ModelName(name));
  }

  @Test
  void shouldRefuseMoreThan96Characters() {
    assertEquals(96, new ModelName("a".repeat(96)).value().length());
    assertThrows(IllegalArgumentException.class, () -> new ModelName("a".repeat(97)));
  }
}
