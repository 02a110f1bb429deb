package io.splitcompute.head.model;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.JniUtils;
import io.splitcompute.head.program.Program;
import io.splitcompute.head.program.Programs;
import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.weights.Manifest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/** A model's weights and programs on one device. */
final class Replica implements LayerStack, AutoCloseable {

  // A call costs what launching a kernel does. A GPU's queue holds more than so many layers of a
  // caller that went away in any case; a CPU runs each before it returns.
  private static final int LAYERS_AT_ONCE_ON_A_GPU = 8;

  private final Manifest manifest;
  private final PtNDManager manager;
  private final Programs programs;
  private final HeadWeights weights;
  private final int layersAtOnce;

  private Replica(
      Manifest manifest,
      PtNDManager manager,
      Programs programs,
      HeadWeights weights,
      int layersAtOnce) {
    this.manifest = manifest;
    this.manager = manager;
    this.programs = programs;
    this.weights = weights;
    this.layersAtOnce = layersAtOnce;
  }

  /**
   * @throws IOException if a shard cannot be read or is not what the manifest says
   */
  static Replica load(Manifest manifest, UnitFiles files, ComputeDevice device) throws IOException {
    PtNDManager manager = ComputeDevice.manager(device.device());
    HeadWeights weights = null;
    try {
      weights = HeadWeights.load(manifest, files, device, manager);
      Programs programs =
          Programs.compile(
              manifest,
              device.precision(),
              device.linear(),
              device.attention(manifest.layer().attention().headSize()),
              device.device());
      return new Replica(
          manifest,
          manager,
          programs,
          weights,
          device.device().isGpu() ? LAYERS_AT_ONCE_ON_A_GPU : 1);
    } catch (IOException | RuntimeException | Error failed) {
      if (weights != null) {
        weights.close();
      }
      manager.close();
      throw failed;
    }
  }

  /** Bytes that the weights take. */
  WeightBytes weightBytes() {
    return weights.bytes();
  }

  /** Arrays that DJL holds for it: its weights, and those of runs that are under way. */
  int managedArrays() {
    return manager.getManagedArrays().size();
  }

  @Override
  public Activations embed(TokenBatch batch) {
    return DeviceMemory.orOutOfMemory(() -> new Rows(batch));
  }

  @Override
  public long bytesPerToken() {
    return weights.activationBytes();
  }

  @Override
  public long bytesLeft() {
    return weights.budget().left();
  }

  /**
   * PyTorch's own allocator does so before it gives up; what allocates beside it, cuBLAS say, finds
   * its cache full.
   */
  @Override
  public void releaseMemory() {
    if (manager.getDevice().isGpu()) {
      JniUtils.emptyCudaCache();
    }
  }

  @Override
  public void close() {
    programs.close();
    weights.close();
    manager.close();
  }

  /** The rows of a batch's sequences, end to end. */
  private final class Rows implements Activations {

    private int[] lengths;
    private IValue x;
    private IValue runs;
    private IValue starts;
    private IValue longest;
    private int layersRun;

    Rows(TokenBatch batch) {
      lengths = batch.lengths();
      runs = runsOf(lengths);
      starts = startsOf(lengths);
      longest = longestOf(lengths);
      try (IValue ids = ints(batch.tokens());
          IValue positions = ints(batch.positions())) {
        x = programs.embeddings().run(ids, positions, weights.embeddings());
      } catch (RuntimeException failed) {
        closeShape();
        throw failed;
      }
    }

    @Override
    public int runLayers(int most) {
      int ran = Math.min(most, layersAtOnce);
      try (IValue first = IValue.from((long) layersRun);
          IValue count = IValue.from((long) ran)) {
        replace(
            DeviceMemory.orOutOfMemory(
                () ->
                    programs
                        .layers()
                        .run(
                            x,
                            runs,
                            starts,
                            longest,
                            weights.scales(),
                            first,
                            count,
                            weights.layers())));
      }
      layersRun += ran;
      return ran;
    }

    @Override
    public float[] read(BitSet sequences, Manifest.Pooling.@Nullable Kind pooling) {
      return DeviceMemory.orOutOfMemory(
          () -> {
            try (IValue some = select(rows(sequences, pooling))) {
              IValue norm = weights.finalNorm();
              Program program = programs.finalNorm();
              if (layersRun < manifest.layers() || norm == null || program == null) {
                return pooled(some, sequences, pooling);
              }
              try (IValue normed = program.run(some, norm)) {
                return pooled(normed, sequences, pooling);
              }
            }
          });
    }

    private float[] pooled(IValue rows, BitSet sequences, Manifest.Pooling.@Nullable Kind pooling) {
      if (pooling != Manifest.Pooling.Kind.MEAN) {
        return floats(rows);
      }
      try (IValue counts = longs(sequences.stream().mapToLong(i -> lengths[i]).toArray());
          IValue means = programs.means().run(rows, counts)) {
        return floats(means);
      }
    }

    private float[] floats(IValue rows) {
      try (PtNDManager scratch = (PtNDManager) manager.newSubManager()) {
        return rows.toTensor(scratch).toType(DataType.FLOAT32, false).toFloatArray();
      }
    }

    @Override
    public void keep(BitSet sequences) {
      replace(DeviceMemory.orOutOfMemory(() -> select(rows(sequences, null))));
      lengths = sequences.stream().map(i -> lengths[i]).toArray();
      closeShape();
      runs = runsOf(lengths);
      starts = startsOf(lengths);
      longest = longestOf(lengths);
    }

    /** The rows that are read of sequences. */
    private long[] rows(BitSet sequences, Manifest.Pooling.@Nullable Kind pooling) {
      LongStream.Builder rows = LongStream.builder();
      long start = 0;
      for (int i = 0; i < lengths.length; i++) {
        long end = start + lengths[i];
        if (sequences.get(i)) {
          long first = pooling == Manifest.Pooling.Kind.LAST ? end - 1 : start;
          long last = pooling == Manifest.Pooling.Kind.CLS ? start : end - 1;
          LongStream.rangeClosed(first, last).forEach(rows::add);
        }
        start = end;
      }
      return rows.build().toArray();
    }

    private IValue select(long[] rows) {
      try (IValue wanted = longs(rows)) {
        return programs.rows().run(x, wanted);
      }
    }

    private IValue longs(long[] values) {
      try (PtNDArray array = (PtNDArray) manager.create(values, new Shape(values.length))) {
        return owned(array);
      }
    }

    private void replace(IValue next) {
      x.close();
      x = next;
    }

    private IValue ints(int[] values) {
      try (PtNDArray array = (PtNDArray) manager.create(values)) {
        return owned(array);
      }
    }

    /**
     * A copy: on a CPU, what DJL creates from Java's values lies in a buffer of Java's, which the
     * collector frees once the array is closed, whatever else still points there.
     */
    private IValue owned(PtNDArray shared) {
      try (PtNDArray copy = (PtNDArray) shared.duplicate()) {
        return IValue.from(copy);
      }
    }

    private IValue runsOf(int[] lengths) {
      List<Long> pairs = new ArrayList<>();
      for (int i = 0; i < lengths.length; ) {
        int first = i;
        while (i < lengths.length && lengths[i] == lengths[first]) {
          i++;
        }
        pairs.add((long) i - first);
        pairs.add((long) lengths[first]);
      }
      return IValue.listFrom(pairs.stream().mapToLong(Long::longValue).toArray());
    }

    private IValue startsOf(int[] lengths) {
      int[] starts = new int[lengths.length + 1];
      for (int i = 0; i < lengths.length; i++) {
        starts[i + 1] = starts[i] + lengths[i];
      }
      return ints(starts);
    }

    private static IValue longestOf(int[] lengths) {
      return IValue.from((long) Arrays.stream(lengths).max().orElse(0));
    }

    private void closeShape() {
      runs.close();
      starts.close();
      longest.close();
    }

    @Override
    public void close() {
      x.close();
      closeShape();
    }
  }
}
