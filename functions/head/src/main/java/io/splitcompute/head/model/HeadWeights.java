package io.splitcompute.head.model;

import ai.djl.Device;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import io.splitcompute.head.program.ActivationBytes;
import io.splitcompute.head.program.Packing;
import io.splitcompute.head.program.Precision;
import io.splitcompute.head.program.Programs;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A model's weights on one device, as its programs take them: lists.
 *
 * @param embeddings token and position tables
 * @param scales of each layer's attention
 * @param layers each layer's tensors, as {@link Programs#LAYER_TENSORS} names them, one layer after
 *     the other
 * @param finalNorm the final LayerNorm; null if the model has none
 * @param bytes that they take
 * @param activationBytes that a token takes beside them, at most
 * @param budget of the device that they are on
 */
record HeadWeights(
    IValue embeddings,
    IValue scales,
    IValue layers,
    @Nullable IValue finalNorm,
    WeightBytes bytes,
    long activationBytes,
    DeviceBudget budget)
    implements AutoCloseable {

  /**
   * Puts weights on a device.
   *
   * @throws IOException if a shard cannot be read or is not what the manifest says
   */
  static HeadWeights load(
      Manifest manifest, UnitFiles files, ComputeDevice device, PtNDManager manager)
      throws IOException {
    Loading loading = new Loading(files, device, manager);
    List<PtNDArray> embeddings =
        loading.unit(Manifest.EMBEDDINGS, Programs.embeddingsTensors(manifest));
    List<PtNDArray> layers = new ArrayList<>();
    for (int i = 0; i < manifest.layers(); i++) {
      layers.addAll(loading.unit(Manifest.layerUnit(i), Programs.LAYER_TENSORS));
    }
    List<PtNDArray> finalNorm =
        manifest.finalNorm() == null ? null : loading.unit(Manifest.FINAL, Programs.FINAL_TENSORS);
    device.budget().place(loading.allocated);
    // Lists last: they hold what is in them, and nobody would close those of a load that fails.
    return new HeadWeights(
        list(embeddings),
        IValue.listFrom(
            manifest.layer().attention().scales().stream()
                .mapToDouble(Double::doubleValue)
                .toArray()),
        list(layers),
        finalNorm == null ? null : list(finalNorm),
        new WeightBytes(loading.mapped, loading.allocated),
        ActivationBytes.perToken(manifest, device.precision()),
        device.budget());
  }

  private static IValue list(List<PtNDArray> tensors) {
    return IValue.listFrom(tensors.toArray(new PtNDArray[0]));
  }

  /** Reads units, and counts what they take. */
  private static final class Loading {

    private final UnitFiles files;
    private final ComputeDevice device;
    private final PtNDManager manager;

    private long mapped;
    private long allocated;

    Loading(UnitFiles files, ComputeDevice device, PtNDManager manager) {
      this.files = files;
      this.device = device;
      this.manager = manager;
    }

    List<PtNDArray> unit(String unit, List<String> names) throws IOException {
      SafetensorsFile file = files.unit(unit);
      List<PtNDArray> tensors = new ArrayList<>();
      for (String name : names) {
        tensors.add(tensor(file, name));
      }
      return tensors;
    }

    /** One tensor, without the columns of zeros that pad its rows in a shard. */
    private PtNDArray tensor(SafetensorsFile file, String name) throws IOException {
      Tensor tensor = file.tensor(name);
      Shape shape = new Shape(tensor.shape());
      DataType wanted = dtype(name);
      String in = file.metadata().get(name + ".in");
      Packing packing = in == null ? null : device.packing();
      DataType stored =
          switch (tensor.dtype()) {
            case F32 -> DataType.FLOAT32;
            case F16 -> DataType.FLOAT16;
            default ->
                throw new IOException("the head does not run weights of dtype " + tensor.dtype());
          };
      boolean view = stored == wanted && packing == null && !device.device().isGpu();
      if (view && (in == null || Long.parseLong(in) == shape.get(1))) {
        // A view of the mapped file: on a CPU nothing is copied.
        mapped += tensor.bytes().remaining();
        return manager.create(tensor.bytes(), shape, stored);
      }
      try (PtNDManager scratch = ComputeDevice.manager(Device.cpu())) {
        PtNDArray whole = scratch.create(tensor.bytes(), shape, stored);
        PtNDArray rows =
            in == null || Long.parseLong(in) == shape.get(1)
                ? whole
                : (PtNDArray) whole.get(new NDIndex(":, :" + Long.parseLong(in)));
        PtNDArray exact = rows.toType(wanted, false);
        allocated += exact.size() * wanted.getNumOfBytes();
        if (packing != null) {
          return packing.pack(exact, manager);
        }
        PtNDArray placed = exact.toDevice(device.device(), true);
        placed.attach(manager);
        return in != null && device.linear().transposed() ? placed.transpose() : placed;
      }
    }

    private DataType dtype(String name) {
      Precision precision = device.precision();
      return name.contains("norm.") ? precision.residual() : precision.matrices();
    }
  }

  @Override
  public void close() {
    budget.remove(bytes.allocated());
    embeddings.close();
    scales.close();
    layers.close();
    if (finalNorm != null) {
      finalNorm.close();
    }
  }
}
