package io.splitcompute.local;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/** The model that comes inside the jar. */
final class BundledModel {

  static final String NAME = "bookworm";

  private static final List<String> FILES =
      List.of("config.json", "model.safetensors", "tokenizer.json");

  private BundledModel() {}

  /**
   * Writes the checkpoint into a folder, since a memory-mapped reader needs files. Files that are
   * right already stay as they are, so that they do not look changed.
   */
  static Path unpack(Path folder) throws IOException {
    Files.createDirectories(folder);
    for (String name : FILES) {
      Path target = folder.resolve(name);
      Path partial = folder.resolve(name + ".partial");
      try (InputStream in =
          BundledModel.class.getResourceAsStream("/models/" + NAME + "/" + name)) {
        if (in == null) {
          throw new IOException("this build lacks " + name + " of " + NAME);
        }
        Files.write(partial, in.readAllBytes());
      }
      if (Files.isRegularFile(target) && Files.mismatch(partial, target) < 0) {
        Files.delete(partial);
      } else {
        Files.move(partial, target, StandardCopyOption.REPLACE_EXISTING);
      }
    }
    return folder;
  }
}
