package io.splitcompute.head.program;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.JniUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;

/**
 * One compiled TorchScript function. Its weights are inputs, so one program serves every layer. It
 * takes and gives PyTorch's own values rather than arrays: those of the weights are made once, and
 * a run is one call into native code.
 */
public final class Program implements AutoCloseable {

  // Kept though only its block is used: a model that is collected closes its block.
  private final Model model;
  private final PtSymbolBlock block;

  private Program(Model model) {
    this.model = model;
    this.block = (PtSymbolBlock) model.getBlock();
  }

  /**
   * Compiles the function.
   *
   * @param name of the function, a Python class name
   * @param forward its source, see {@link TorchScriptArchive}
   * @throws IllegalStateException if PyTorch refuses it
   */
  static Program compile(String name, String forward, Device device) {
    Model model = Model.newInstance(name, device, "PyTorch");
    try {
      model.load(new ByteArrayInputStream(TorchScriptArchive.of(name, forward)));
    } catch (IOException | MalformedModelException refused) {
      model.close();
      throw new IllegalStateException("PyTorch refuses the program " + name, refused);
    } catch (RuntimeException refused) {
      model.close();
      throw refused;
    }
    return new Program(model);
  }

  /**
   * Runs the function.
   *
   * @param inputs in the order of its parameters; they stay the caller's
   * @return the result, the caller's to close
   * @throws ai.djl.engine.EngineException if PyTorch fails, out of memory say
   */
  public IValue run(IValue... inputs) {
    // PyTorch's passes would specialise the program for the shapes of its first runs, and each
    // batch has its own. The switch is the thread's, and DJL's property does not reach this call.
    JniUtils.setGraphExecutorOptimize(false);
    return block.forward(inputs);
  }

  @Override
  public void close() {
    model.close();
  }
}
