package io.splitcompute.bench;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceSettings;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.BatchLimits;
import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.head.schedule.Scheduler;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * All layers of a model, from token ids to hidden states on the heap: by the layers alone, by the
 * scheduler around them, and by onnxruntime on the same weights. {@code throughput.sh} runs it.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 1, time = 3)
@Measurement(iterations = 3, time = 5)
@Fork(1)
public class ThroughputBenchmark {

  private static final int THREADS = 2;

  @Param({"gpt2-small", "minilm"})
  public String model = "";

  @Param({"1x16", "1x128", "32x64"})
  public String shape = "";

  @Param({"layers", "scheduler", "onnxruntime"})
  public String engine = "";

  private Runner runner = () -> new float[0];

  /** One pass; gives the hidden states. */
  private interface Runner extends AutoCloseable {
    float[] run() throws OrtException, InterruptedException, ExecutionException;

    @Override
    default void close() throws OrtException {}
  }

  /** Loads the model that {@code -Dbench.models} holds. */
  @Setup
  public void setUp() throws Exception {
    Path models = Path.of(System.getProperty("bench.models"));
    int batch = Integer.parseInt(shape.substring(0, shape.indexOf('x')));
    int length = Integer.parseInt(shape.substring(shape.indexOf('x') + 1));
    Random random = new Random(batch * 1000L + length);
    List<int[]> sequences = new ArrayList<>();
    for (int i = 0; i < batch; i++) {
      sequences.add(random.ints(length, 0, 1000).toArray());
    }
    runner =
        engine.equals("onnxruntime")
            ? onnx(models.resolve(model + ".onnx"), sequences)
            : head(models.resolve("store"), TokenBatch.of(sequences));
    if (!engine.equals("onnxruntime")) {
      compare(onnx(models.resolve(model + ".onnx"), sequences));
    }
  }

  /** The figures mean nothing unless both compute the same. */
  private void compare(Runner oracle) throws Exception {
    float[] expected = oracle.run();
    float[] actual = runner.run();
    oracle.close();
    float largest = 0;
    float difference = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      difference = Math.max(difference, Math.abs(expected[i] - actual[i]));
    }
    if (!(difference <= 1e-4 * largest)) {
      throw new IllegalStateException("differs from onnxruntime by " + difference / largest);
    }
  }

  private Runner head(Path store, TokenBatch tokens) throws Exception {
    FolderStore folder = new FolderStore(store);
    Head head =
        Head.load(
            folder.manifest(new ModelName(model)).orElseThrow(),
            folder,
            ComputeDevice.of(new DeviceSettings("cpu", "auto", 0)));
    int layers = head.manifest().layers();
    if (engine.equals("layers")) {
      LayerStack stack = head.scheduled().replicas().get(0);
      BitSet all = new BitSet();
      all.set(0, tokens.lengths().length);
      return () -> {
        try (LayerStack.Activations activations = stack.embed(tokens)) {
          activations.run(layers);
          return activations.read(all, null);
        }
      };
    }
    Scheduler scheduler =
        new Scheduler(
            new BatchLimits(4096, Duration.ofMillis(3), Duration.ofMinutes(1), 1024, true),
            1,
            new SimpleMeterRegistry());
    return new Runner() {
      @Override
      public float[] run() throws InterruptedException, ExecutionException {
        return scheduler.submit(head.scheduled(), tokens, layers, null).get().hidden();
      }

      @Override
      public void close() {
        scheduler.close();
        head.close();
      }
    };
  }

  private static Runner onnx(Path file, List<int[]> sequences) throws OrtException {
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setIntraOpNumThreads(THREADS);
    options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
    OrtSession session = environment.createSession(file.toString(), options);
    long[] ids = sequences.stream().flatMapToInt(Arrays::stream).asLongStream().toArray();
    long[] shape = {sequences.size(), sequences.get(0).length};
    return new Runner() {
      @Override
      public float[] run() throws OrtException {
        try (OnnxTensor input = OnnxTensor.createTensor(environment, LongBuffer.wrap(ids), shape);
            OrtSession.Result result = session.run(Map.of("input_ids", input))) {
          float[] hidden = new float[ids.length * hiddenSize(result)];
          ((OnnxTensor) result.get(0)).getFloatBuffer().get(hidden);
          return hidden;
        }
      }

      private int hiddenSize(OrtSession.Result result) throws OrtException {
        long[] all = ((OnnxTensor) result.get(0)).getInfo().getShape();
        return Math.toIntExact(all[all.length - 1]);
      }

      @Override
      public void close() throws OrtException {
        session.close();
      }
    };
  }

  /** One pass. */
  @Benchmark
  public float[] pass() throws Exception {
    return runner.run();
  }

  /** Lets everything go. */
  @TearDown
  public void tearDown() throws Exception {
    runner.close();
  }
}
