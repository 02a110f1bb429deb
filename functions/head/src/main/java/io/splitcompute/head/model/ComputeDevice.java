package io.splitcompute.head.model;

import ai.djl.Device;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import io.splitcompute.head.program.Attention;
import io.splitcompute.head.program.Packing;
import io.splitcompute.head.program.Precision;
import org.jspecify.annotations.Nullable;

/**
 * Where layers run and how.
 *
 * @param device as DJL names it
 * @param precision the dtypes
 * @param attention how attention runs
 * @param packing lays out linear weights; null where they stay as they are
 */
public record ComputeDevice(
    Device device, Precision precision, Attention attention, @Nullable Packing packing) {

  /** The CPU: f32, packed where PyTorch can. */
  public static ComputeDevice cpu() {
    try (PtNDManager manager = manager(Device.cpu())) {
      return new ComputeDevice(
          Device.cpu(),
          Precision.F32,
          Attention.BY_LENGTH,
          Packing.available(manager).orElse(null));
    }
  }

  static PtNDManager manager(Device device) {
    return (PtNDManager) NDManager.newBaseManager(device, "PyTorch");
  }
}
