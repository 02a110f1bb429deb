package io.splitcompute.local;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The models that lie beside this program, {@code models/<name>.jar}: they are other projects'
 * jars, larger than the program itself, and stay as they were published.
 */
final class JarModels {

  private static final String SUFFIX = ".jar";

  private JarModels() {}

  /** The jar of a model, if there is one of that name. */
  static Optional<Path> find(String name) throws IOException {
    // A name that is a path is for another to look at.
    return names().contains(name) ? Optional.of(folder().resolve(name + SUFFIX)) : Optional.empty();
  }

  /** The names of all of them, sorted. */
  static List<String> names() throws IOException {
    if (!Files.isDirectory(folder())) {
      return List.of();
    }
    try (Stream<Path> files = Files.list(folder())) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(file -> file.endsWith(SUFFIX))
          .map(file -> file.substring(0, file.length() - SUFFIX.length()))
          .sorted()
          .toList();
    }
  }

  /** Beside the jar, or beside the folder of classes that a build runs. */
  private static Path folder() throws IOException {
    try {
      return Path.of(JarModels.class.getProtectionDomain().getCodeSource().getLocation().toURI())
          .resolveSibling("models");
    } catch (URISyntaxException unreadable) {
      throw new IOException("this program cannot tell where it lies", unreadable);
    }
  }
}
