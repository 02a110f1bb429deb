package io.splitcompute.head.program;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Writes a TorchScript archive, as {@code torch.jit.load} reads it: a stored zip with the code of
 * one module without parameters, a pickle of its instance and an empty pickle of constants
 * (PyTorch's {@code torch/csrc/jit/serialization} and {@code caffe2/serialize/inline_container}).
 */
final class TorchScriptArchive {

  // Serialisation version: "3" lacks gelu's approximation, 10 is what PyTorch 2 itself writes.
  private static final String VERSION = "10\n";

  private static final byte[] NO_CONSTANTS = {(byte) 0x80, 2, ')', '.'};

  private TorchScriptArchive() {}

  /**
   * @param name of the class of the module and of the archive's folder
   * @param forward the source of its method {@code forward}, indented by two spaces
   */
  static byte[] of(String name, String forward) {
    String code =
        "class "
            + name
            + "(Module):\n"
            + "  __parameters__ = []\n"
            + "  __buffers__ = []\n"
            + "  training : bool\n"
            + forward;
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      store(zip, name + "/data.pkl", instance(name));
      store(zip, name + "/code/__torch__.py", code.getBytes(StandardCharsets.UTF_8));
      store(zip, name + "/constants.pkl", NO_CONSTANTS);
      store(zip, name + "/version", VERSION.getBytes(StandardCharsets.US_ASCII));
      store(zip, name + "/byteorder", "little".getBytes(StandardCharsets.US_ASCII));
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
    return bytes.toByteArray();
  }

  /** Pickle protocol 2: {@code __torch__.<name>()} with the state {@code {"training": False}}. */
  private static byte[] instance(String name) {
    ByteArrayOutputStream pickle = new ByteArrayOutputStream();
    pickle.writeBytes(new byte[] {(byte) 0x80, 2});
    pickle.writeBytes(("c__torch__\n" + name + "\n").getBytes(StandardCharsets.US_ASCII));
    pickle.writeBytes(new byte[] {')', (byte) 0x81, '}', '(', 'X', 8, 0, 0, 0});
    pickle.writeBytes("training".getBytes(StandardCharsets.US_ASCII));
    pickle.writeBytes(new byte[] {(byte) 0x89, 'u', 'b', '.'});
    return pickle.toByteArray();
  }

  private static void store(ZipOutputStream zip, String name, byte[] bytes) throws IOException {
    CRC32 crc = new CRC32();
    crc.update(bytes);
    ZipEntry entry = new ZipEntry(name);
    entry.setMethod(ZipEntry.STORED);
    entry.setSize(bytes.length);
    entry.setCrc(crc.getValue());
    entry.setTime(0);
    zip.putNextEntry(entry);
    zip.write(bytes);
    zip.closeEntry();
  }
}
