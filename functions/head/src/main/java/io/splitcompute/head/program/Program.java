package io.splitcompute.head.program;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.nn.Block;
import ai.djl.training.ParameterStore;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.List;

/**
 * One compiled TorchScript function of tensors to one tensor. Its weights are inputs, so one
 * program serves every layer. Safe for use by several threads.
 */
public final class Program implements AutoCloseable {

  private final Model model;
  private final Block block;

  private Program(Model model) {
    this.model = model;
    this.block = model.getBlock();
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
    }
    return new Program(model);
  }

  /**
   * Runs the function.
   *
   * @param inputs in the order of its parameters; the result belongs to the first one's manager
   */
  public NDArray run(List<NDArray> inputs) {
    NDList list = new NDList(inputs);
    // A name with a dot would make DJL pass the array as a member of a dictionary.
    list.forEach(array -> array.setName(null));
    return block
        .forward(new ParameterStore(list.head().getManager(), true), list, false)
        .singletonOrThrow();
  }

  @Override
  public void close() {
    model.close();
  }
}
