package io.splitcompute.weights.cli;

import io.splitcompute.weights.shard.ShardDType;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** The dtypes that the sharder knows, by the names that manifests have for them. */
final class DTypes implements ITypeConverter<ShardDType>, Iterable<String> {

  private static final List<String> WORDS =
      Arrays.stream(ShardDType.values()).map(ShardDType::word).toList();

  @Override
  public ShardDType convert(String word) {
    return ShardDType.named(word)
        .orElseThrow(
            () -> new TypeConversionException("known dtypes are " + String.join(", ", WORDS)));
  }

  @Override
  public Iterator<String> iterator() {
    return WORDS.iterator();
  }
}
