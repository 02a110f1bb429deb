package io.splitcompute.weights.safetensors;

import java.io.IOException;

/** A file that is not what the safetensors format allows. */
public final class InvalidSafetensorsException extends IOException {

  private static final long serialVersionUID = 1L;

  public InvalidSafetensorsException(String message) {
    super(message);
  }
}
