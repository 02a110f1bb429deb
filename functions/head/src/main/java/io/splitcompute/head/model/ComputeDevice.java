package io.splitcompute.head.model;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import io.splitcompute.head.program.Attention;
import io.splitcompute.head.program.Linear;
import io.splitcompute.head.program.Packing;
import io.splitcompute.head.program.Precision;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where layers run and how.
 *
 * @param device as DJL names it
 * @param precision the dtypes
 * @param attention how attention runs where a model allows it
 * @param packing lays out linear weights; null where they stay as they are
 */
public record ComputeDevice(
    Device device, Precision precision, Attention attention, @Nullable Packing packing)
    implements AutoCloseable {

  /**
   * The devices that settings ask for.
   *
   * @throws IllegalArgumentException if they are not there
   */
  public static List<ComputeDevice> of(DeviceSettings settings) {
    try {
      return PassingThread.run("device-probe", () -> found(settings));
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }

  private static List<ComputeDevice> found(DeviceSettings settings) {
    DeviceChoice choice =
        DeviceChoice.of(
            settings,
            settings.device().equals("cpu") ? 0 : Engine.getEngine("PyTorch").getGpuCount());
    if (choice.gpus().isEmpty()) {
      return List.of(cpu());
    }
    return choice.gpus().stream().map(gpu -> gpu(gpu, choice.precision())).toList();
  }

  /** The CPU: f32, with packed linear maps where PyTorch has them. */
  static ComputeDevice cpu() {
    try (PtNDManager manager = manager(Device.cpu())) {
      return new ComputeDevice(
          Device.cpu(),
          Precision.F32,
          Attention.BY_LENGTH,
          Packing.available(manager).orElse(null));
    }
  }

  private static ComputeDevice gpu(int number, Precision precision) {
    Device device = Device.gpu(number);
    try (PtNDManager manager = manager(device)) {
      return new ComputeDevice(
          device,
          precision,
          Attention.raggedWorks(manager, precision) ? Attention.RAGGED : Attention.BY_LENGTH,
          null);
    }
  }

  /** How attention runs for heads of a size. */
  Attention attention(int headSize) {
    return headSize % 8 == 0 && headSize <= Attention.MOST_RAGGED_HEAD_SIZE
        ? attention
        : Attention.BY_LENGTH;
  }

  @Override
  public void close() {
    if (packing != null) {
      packing.close();
    }
  }

  /** How linear maps run. */
  Linear linear() {
    if (packing != null) {
      return Linear.PACKED;
    }
    return device.isGpu() ? Linear.EPILOGUE : Linear.PLAIN;
  }

  static PtNDManager manager(Device device) {
    return (PtNDManager) NDManager.newBaseManager(device, "PyTorch");
  }
}
