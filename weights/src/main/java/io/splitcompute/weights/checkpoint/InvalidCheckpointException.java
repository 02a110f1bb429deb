package io.splitcompute.weights.checkpoint;

import java.io.IOException;

/** A folder that is not a checkpoint that can be sharded. */
public final class InvalidCheckpointException extends IOException {

  private static final long serialVersionUID = 1L;

  public InvalidCheckpointException(String message) {
    super(message);
  }
}
