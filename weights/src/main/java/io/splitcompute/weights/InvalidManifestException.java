package io.splitcompute.weights;

import java.io.IOException;

/** Bytes that are not a manifest. */
public final class InvalidManifestException extends IOException {

  private static final long serialVersionUID = 1L;

  public InvalidManifestException(String message) {
    super(message);
  }
}
