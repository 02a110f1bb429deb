package io.splitcompute.head.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** What weights leave of a device to activations. */
final class DeviceBudgetTest {

  @Test
  void shouldLeaveWhatWeightsDoNotTake() {
    DeviceBudget budget = DeviceBudget.of(1000L, 0);
    assertEquals(900, budget.left());

    budget.place(300);
    budget.place(500);
    assertEquals(100, budget.left());

    budget.remove(500);
    assertEquals(600, budget.left());
  }

  @Test
  void shouldLeaveNothingRatherThanLess() {
    DeviceBudget budget = DeviceBudget.of(1000L, 0);
    budget.place(950);
    assertEquals(0, budget.left());
  }

  @Test
  void shouldTakeTheSmallerOfMemoryAndSetting() {
    DeviceBudget budget = DeviceBudget.of(1000L, 200);
    assertEquals(200, budget.left());

    budget.place(800);
    assertEquals(100, budget.left());
  }

  @Test
  void shouldNotCountWeightsWhereOnlyASettingBounds() {
    DeviceBudget budget = DeviceBudget.of(null, 200);
    budget.place(1000);
    assertEquals(200, budget.left());
  }

  @Test
  void shouldBoundNothingWhereNothingIsKnown() {
    DeviceBudget budget = DeviceBudget.of(null, 0);
    budget.place(1000);
    assertFalse(budget.isBounded());
    assertEquals(Long.MAX_VALUE, budget.left());
    assertTrue(DeviceBudget.of(1L, 0).isBounded());
  }

  @Test
  void shouldRefuseASettingBelowZero() {
    assertThrows(IllegalArgumentException.class, () -> DeviceBudget.of(null, -1));
  }
}
