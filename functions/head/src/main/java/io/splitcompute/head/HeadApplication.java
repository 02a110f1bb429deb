package io.splitcompute.head;

import io.micronaut.runtime.Micronaut;

/** The head as a server of its own. As a Lambda function its handler is Micronaut's. */
public final class HeadApplication {
  private HeadApplication() {}

  public static void main(String[] arguments) {
    Micronaut.build(arguments).mainClass(HeadApplication.class).banner(false).start();
  }
}
