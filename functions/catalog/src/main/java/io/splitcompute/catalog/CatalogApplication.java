package io.splitcompute.catalog;

import io.micronaut.runtime.Micronaut;

/** The catalog as a server of its own. As a Lambda function its handler is Micronaut's. */
public final class CatalogApplication {
  private CatalogApplication() {}

  public static void main(String[] arguments) {
    Micronaut.build(arguments).mainClass(CatalogApplication.class).banner(false).start();
  }
}
