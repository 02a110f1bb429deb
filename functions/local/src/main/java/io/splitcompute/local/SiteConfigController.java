package io.splitcompute.local;

import io.micronaut.context.annotation.Property;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Get;
import io.micronaut.serde.annotation.Serdeable;
import io.swagger.v3.oas.annotations.Hidden;

/** Tells the site which API and which model to use. */
@Hidden
@Controller("/config.json")
class SiteConfigController {

  private final String model;

  SiteConfigController(@Property(name = "splitcompute.site-model") String model) {
    this.model = model;
  }

  /**
   * @param endpoint the API's address, relative to the page
   * @param model the model that the page starts with
   */
  @Serdeable
  record SiteConfig(String endpoint, String model) {}

  /** The site's configuration. */
  @Get
  SiteConfig config() {
    return new SiteConfig(".", model);
  }
}
