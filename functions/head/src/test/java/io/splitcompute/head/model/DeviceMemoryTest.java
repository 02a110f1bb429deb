package io.splitcompute.head.model;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDManager;
import io.splitcompute.head.schedule.DeviceMemoryException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A lack of memory is told from other failures: it alone is mended by smaller batches. */
final class DeviceMemoryTest {

  @Test
  void shouldTellALackOfMemoryFromAnotherFailureOfPyTorch() {
    try (PtNDManager manager = ComputeDevice.manager(Device.cpu())) {
      assertThrows(
          DeviceMemoryException.class,
          () ->
              DeviceMemory.orOutOfMemory(
                  () -> manager.zeros(new Shape(1L << 46), DataType.FLOAT32)));
      assertThrows(
          EngineException.class,
          () ->
              DeviceMemory.orOutOfMemory(
                  () ->
                      manager
                          .zeros(new Shape(2, 3), DataType.FLOAT32)
                          .matMul(manager.zeros(new Shape(2, 3), DataType.FLOAT32))));
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "std::bad_alloc"
      })
  void shouldKnowHowCudasLibrariesSayIt(String message) {
    assertTrue(DeviceMemory.isLack(message));
  }

  @ParameterizedTest
  @ValueSource(strings = {"CUDA error: an illegal memory access was encountered", "null"})
  void shouldNotTakeABrokenDeviceForAFullOne(String message) {
    assertFalse(DeviceMemory.isLack(message));
  }
}
