package io.splitcompute.head.model;

import ai.djl.engine.EngineException;
import io.splitcompute.head.schedule.DeviceMemoryException;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** Tells a device that is full from one that fails. */
final class DeviceMemory {

  private DeviceMemory() {}

  /**
   * @throws DeviceMemoryException if the device has too little memory for it
   * @throws EngineException if it fails otherwise
   */
  static <T> T orOutOfMemory(Supplier<T> work) {
    try {
      return work.get();
    } catch (EngineException failed) {
      if (isLack(String.valueOf(failed.getMessage()))) {
        throw new DeviceMemoryException(failed);
      }
      throw failed;
    }
  }

  /**
   * PyTorch's allocators, those of CUDA's libraries, oneDNN's and C++'s say it in their own ways.
   */
  static boolean isLack(String message) {
    String lower = message.toLowerCase(Locale.ROOT);
    return Stream.of(
            "out of memory",
            "allocate memory",
            "not enough memory",
            "_status_alloc_failed",
            "out_of_memory",
            "bad_alloc")
        .anyMatch(lower::contains);
  }
}
