package io.splitcompute.head.schedule;

/** The device has too little memory left for a batch: a smaller one may fit. */
public final class DeviceMemoryException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  public DeviceMemoryException(Throwable cause) {
    super("the device has too little memory for the batch", cause);
  }
}
