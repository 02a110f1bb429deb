package io.splitcompute.head.program;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Lays linear weights out for {@link Linear#PACKED}. */
public final class Packing implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(Packing.class);

  // The rows that the layout is chosen for. One that suits few rows costs nothing at many.
  private static final long ROWS = 16;

  private final Program program;

  private Packing(Program program) {
    this.program = program;
  }

  /** What packs on this CPU; nothing where PyTorch was built without oneDNN. */
  public static Optional<Packing> available(PtNDManager manager) {
    Packing packing;
    try {
      packing =
          new Packing(
              Program.compile(
                  "Pack",
                  """
                    def forward(self: __torch__.Pack,
                      w: Tensor,
                      rows: int) -> Tensor:
                      return ops.mkldnn._reorder_linear_weight(w, rows)
                  """,
                  Device.cpu()));
    } catch (EngineException | IllegalStateException absent) {
      LOG.info("This PyTorch has no packed linear maps; layers run with plain ones");
      return Optional.empty();
    }
    if (packing.isExact(manager)) {
      return Optional.of(packing);
    }
    packing.close();
    LOG.warn("Packed linear maps are wrong on this CPU; layers run with plain ones");
    return Optional.empty();
  }

  /**
   * @param weight {@code [out, in]}, f32
   * @return an array that can but be handed to a program
   */
  public PtNDArray pack(PtNDArray weight, PtNDManager manager) {
    try (IValue rows = IValue.from(ROWS);
        IValue plain = IValue.from(weight);
        IValue packed = program.run(plain, rows)) {
      return packed.toTensor(manager);
    }
  }

  /** Compares a small map with the plain one. */
  private boolean isExact(PtNDManager manager) {
    String source =
        """
          def forward(self: __torch__.Check,
            x: Tensor,
            w_weight: Tensor,
            w_bias: Tensor) -> Tensor:
            return %s
        """;
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager();
        Program plain =
            Program.compile("Check", source.formatted(Linear.PLAIN.map("x", "w")), Device.cpu());
        Program packed =
            Program.compile("Check", source.formatted(Linear.PACKED.map("x", "w")), Device.cpu())) {
      PtNDArray weight =
          (PtNDArray) scratch.randomUniform(-1, 1, new Shape(24, 40), DataType.FLOAT32);
      try (IValue x =
              IValue.from(
                  (PtNDArray) scratch.randomUniform(-1, 1, new Shape(5, 40), DataType.FLOAT32));
          IValue bias =
              IValue.from(
                  (PtNDArray) scratch.randomUniform(-1, 1, new Shape(24), DataType.FLOAT32));
          IValue w = IValue.from(weight);
          IValue p = IValue.from(pack(weight, scratch));
          IValue expected = plain.run(x, w, bias);
          IValue actual = packed.run(x, p, bias)) {
        return expected
            .toTensor(scratch)
            .sub(actual.toTensor(scratch))
            .abs()
            .max()
            .lte(1e-4)
            .getBoolean();
      }
    } catch (EngineException failed) {
      return false;
    }
  }

  @Override
  public void close() {
    program.close();
  }
}
