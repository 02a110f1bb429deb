package io.splitcompute.weights.cli;

import io.splitcompute.weights.ModelName;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads a model's name. */
final class ModelNames implements ITypeConverter<ModelName> {

  @Override
  public ModelName convert(String name) {
    try {
      return new ModelName(name);
    } catch (IllegalArgumentException invalid) {
      throw new TypeConversionException(invalid.getMessage());
    }
  }
}
