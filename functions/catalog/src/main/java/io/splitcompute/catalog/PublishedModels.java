package io.splitcompute.catalog;

import io.micronaut.context.annotation.Property;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.api.RequestedModel;
import io.splitcompute.weights.InvalidManifestException;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.PublishedManifest;
import io.splitcompute.weights.store.WeightStore;
import jakarta.inject.Inject;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The models in the store, or those of them that {@code splitcompute.models} names. A manifest, or
 * that it is none, is remembered for a few seconds, so that a page's burst of calls reads it once
 * and a new revision is still seen at once for a person.
 */
@Singleton
final class PublishedModels {

  private static final Logger LOG = LoggerFactory.getLogger(PublishedModels.class);
  private static final Duration REMEMBERED = Duration.ofSeconds(5);

  /** What a look at the store came to. */
  private sealed interface Remembered {

    PublishedManifest manifest() throws InvalidManifestException;

    Instant until();
  }

  private record Valid(PublishedManifest manifest, Instant until) implements Remembered {}

  private record Damaged(InvalidManifestException why, Instant until) implements Remembered {

    @Override
    public PublishedManifest manifest() throws InvalidManifestException {
      throw why;
    }
  }

  private final WeightStore store;
  private final List<ModelName> only;
  private final InstantSource clock;
  private final Map<ModelName, Remembered> manifests = new ConcurrentHashMap<>();

  /** What was last said to be wrong with a model. */
  private final Map<ModelName, String> said = new ConcurrentHashMap<>();

  @Inject
  PublishedModels(
      WeightStore store,
      @Property(name = "splitcompute.models", defaultValue = "") List<String> only) {
    this(store, only, Clock.systemUTC());
  }

  PublishedModels(WeightStore store, List<String> only, InstantSource clock) {
    this.store = store;
    // An absent list comes as one blank name.
    this.only = only.stream().filter(name -> !name.isBlank()).map(ModelName::new).toList();
    this.clock = clock;
  }

  /** The models that are valid, by name. */
  List<PublishedManifest> all() throws IOException {
    List<PublishedManifest> all = new ArrayList<>();
    for (ModelName model : only.isEmpty() ? store.models() : only) {
      try {
        // A model can go between the listing and the look: it is then not listed.
        find(model).ifPresent(all::add);
      } catch (InvalidManifestException invalid) {
        say(model, invalid);
      }
    }
    return all;
  }

  /**
   * @throws ProblemException model-not-found if it is not published, model-damaged if what is
   *     published is no manifest
   */
  PublishedManifest get(String name) throws IOException {
    ModelName model = RequestedModel.named(name);
    if (!only.isEmpty() && !only.contains(model)) {
      throw RequestedModel.notFound();
    }
    try {
      return find(model).orElseThrow(RequestedModel::notFound);
    } catch (InvalidManifestException invalid) {
      say(model, invalid);
      throw ProblemException.of(
          ProblemType.MODEL_DAMAGED,
          "What is wrong with it is logged; whoever runs the service publishes the model again");
    }
  }

  private void say(ModelName model, InvalidManifestException invalid) {
    String reason = String.valueOf(invalid.getMessage());
    // Once for each fault: whoever asks again and again must not fill the log.
    if (!reason.equals(said.put(model, reason))) {
      LOG.warn("The model {} is not served: {}", model, reason);
    }
  }

  private Optional<PublishedManifest> find(ModelName model) throws IOException {
    Instant now = clock.instant();
    Remembered remembered = manifests.get(model);
    if (remembered != null && now.isBefore(remembered.until())) {
      return Optional.of(remembered.manifest());
    }
    Instant until = now.plus(REMEMBERED);
    try {
      Optional<PublishedManifest> manifest = store.manifest(model);
      manifest.ifPresent(found -> manifests.put(model, new Valid(found, until)));
      return manifest;
    } catch (InvalidManifestException damaged) {
      manifests.put(model, new Damaged(damaged, until));
      throw damaged;
    }
  }
}
