package io.splitcompute.local;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.shard.ShardDType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Tells whether a checkpoint has changed since it was sharded: by its files' names, sizes and
 * times, since reading gigabytes at every start would cost what it saves.
 */
final class Fingerprint {

  private Fingerprint() {}

  static String of(Path folder, List<ShardDType> dtypes) throws IOException {
    StringBuilder facts = new StringBuilder(folder + "\n" + dtypes + "\n");
    try (Stream<Path> files = Files.walk(folder, 2)) {
      for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
        facts
            .append(folder.relativize(file))
            .append(' ')
            .append(Files.size(file))
            .append(' ')
            .append(Files.getLastModifiedTime(file))
            .append('\n');
      }
    }
    return Sha256.of(facts.toString().getBytes(UTF_8));
  }
}
