package io.splitcompute.head.model;

import io.splitcompute.head.program.Precision;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * The devices that settings ask for. Who asks for a GPU gets one or an error, never the CPU in its
 * place.
 *
 * @param gpus numbers of the GPUs; none for the CPU
 * @param precision the dtypes
 */
record DeviceChoice(List<Integer> gpus, Precision precision) {

  private static final Pattern NUMBERED = Pattern.compile("cuda:\\d{1,3}(,\\d{1,3})*");

  /**
   * @param gpuCount GPUs that PyTorch finds
   * @throws IllegalArgumentException if the settings name what is not there
   */
  static DeviceChoice of(DeviceSettings settings, int gpuCount) {
    List<Integer> gpus = gpus(settings.device(), gpuCount);
    return new DeviceChoice(gpus, precision(settings.precision(), !gpus.isEmpty()));
  }

  private static List<Integer> gpus(String device, int gpuCount) {
    List<Integer> all = IntStream.range(0, gpuCount).boxed().toList();
    return switch (device) {
      case "cpu" -> List.of();
      case "auto" -> all;
      case "cuda" -> {
        if (all.isEmpty()) {
          throw notFound(device, gpuCount);
        }
        yield all;
      }
      default -> numbered(device, gpuCount);
    };
  }

  private static List<Integer> numbered(String device, int gpuCount) {
    if (!NUMBERED.matcher(device).matches()) {
      throw new IllegalArgumentException(
          "splitcompute.device is '" + device + "'; it is auto, cpu, cuda or cuda:0,1");
    }
    List<Integer> chosen = new ArrayList<>();
    for (String number : device.substring("cuda:".length()).split(",", -1)) {
      int gpu = Integer.parseInt(number);
      if (gpu >= gpuCount || chosen.contains(gpu)) {
        throw notFound(device, gpuCount);
      }
      chosen.add(gpu);
    }
    return List.copyOf(chosen);
  }

  private static IllegalArgumentException notFound(String device, int gpuCount) {
    return new IllegalArgumentException(
        "splitcompute.device is '%s', but PyTorch finds %d GPUs; check the driver and that the CUDA natives are on the class path"
            .formatted(device, gpuCount));
  }

  private static Precision precision(String name, boolean gpu) {
    Precision precision =
        switch (name) {
          case "auto" -> gpu ? Precision.F16 : Precision.F32;
          case "f32" -> Precision.F32;
          case "f16" -> Precision.F16;
          case "f16-residual-f32" -> Precision.F16_RESIDUAL_F32;
          default ->
              throw new IllegalArgumentException(
                  "splitcompute.precision is '"
                      + name
                      + "'; it is auto, f32, f16 or f16-residual-f32");
        };
    if (!gpu && precision != Precision.F32) {
      throw new IllegalArgumentException(
          "splitcompute.precision is '"
              + name
              + "', but a CPU runs f32 alone, being slower in f16");
    }
    return precision;
  }
}
