package io.splitcompute.head;

import io.micronaut.http.HttpHeaders;
import io.micronaut.http.MediaType;
import io.splitcompute.head.message.ActivationsLocation;
import io.splitcompute.head.message.ActivationsMessage;
import java.util.List;

/**
 * What a request's {@code Accept} says of the three types that {@code /v1/embed} answers.
 *
 * @param json whether JSON will do
 * @param message whether an activations message will do
 * @param namesMessage whether it asks for a message by name: that wins over embeddings
 * @param namesLocation whether it asks for a location by name: that replaces the redirect
 */
record Accepted(boolean json, boolean message, boolean namesMessage, boolean namesLocation) {

  private static final MediaType MESSAGE = MediaType.of(ActivationsMessage.MEDIA_TYPE);
  private static final MediaType LOCATION = MediaType.of(ActivationsLocation.MEDIA_TYPE);

  static Accepted of(HttpHeaders headers) {
    // With the quality 0 a type is named to be refused.
    List<MediaType> types =
        headers.accept().stream().filter(type -> type.getQualityAsNumber().signum() > 0).toList();
    if (types.isEmpty() && !headers.accept().isEmpty()) {
      return new Accepted(false, false, false, false);
    }
    return new Accepted(
        types.isEmpty() || matches(types, MediaType.APPLICATION_JSON_TYPE),
        types.isEmpty() || matches(types, MESSAGE),
        names(types, MESSAGE),
        names(types, LOCATION));
  }

  private static boolean matches(List<MediaType> types, MediaType type) {
    return types.stream().anyMatch(accepted -> accepted.matches(type));
  }

  private static boolean names(List<MediaType> types, MediaType type) {
    return types.stream().anyMatch(accepted -> accepted.getName().equalsIgnoreCase(type.getName()));
  }
}
