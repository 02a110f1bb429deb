package io.splitcompute.head.message;

import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Writes the activations message; {@code ACTIVATIONS.md} specifies it. */
public final class ActivationsMessage {

  /** The media type of a message. */
  public static final String MEDIA_TYPE = "application/vnd.splitcompute.activations";

  private ActivationsMessage() {}
}
