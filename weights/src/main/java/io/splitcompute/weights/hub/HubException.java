package io.splitcompute.weights.hub;

import java.io.IOException;

/** The hub has not what was asked for, or what it sent is not what it announced. */
public final class HubException extends IOException {

  private static final long serialVersionUID = 1L;

  HubException(String message) {
    super(message);
  }
}
