package io.splitcompute.head.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.program.Precision;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which device runs, of those that are asked for and those that are there. */
final class DeviceChoiceTest {

  private static DeviceChoice choose(String device, String precision, int gpus) {
    return DeviceChoice.of(new DeviceSettings(device, precision, 0), gpus);
  }

  @Test
  void shouldTakeEveryGpuOrElseTheCpuByItself() {
    assertEquals(new DeviceChoice(List.of(0, 1), Precision.F16), choose("auto", "auto", 2));
    assertEquals(new DeviceChoice(List.of(), Precision.F32), choose("auto", "auto", 0));
  }

  @Test
  void shouldTakeTheGpusThatAreNamed() {
    assertEquals(List.of(1), choose("cuda:1", "f32", 2).gpus());
    assertEquals(List.of(2, 0), choose("cuda:2,0", "f16-residual-f32", 3).gpus());
    assertEquals(List.of(0, 1), choose("cuda", "auto", 2).gpus());
    assertEquals(List.of(), choose("cpu", "auto", 2).gpus());
  }

  @ParameterizedTest
  @CsvSource({"cuda,0", "cuda:0,0", "cuda:2,2", "'cuda:0,0',2"})
  void shouldNotTakeTheCpuWhereAGpuIsAskedForAndMissing(String device, int gpus) {
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> choose(device, "auto", gpus));
    assertTrue(refused.toString().contains("finds " + gpus + " GPUs"), refused.toString());
  }

  @ParameterizedTest
  @CsvSource({"gpu,auto", "cuda:,auto", "cuda:x,auto", "auto,f64", "cpu,f16"})
  void shouldSayWhatItDoesNotKnow(String device, String precision) {
    assertThrows(IllegalArgumentException.class, () -> choose(device, precision, 1));
  }
}
