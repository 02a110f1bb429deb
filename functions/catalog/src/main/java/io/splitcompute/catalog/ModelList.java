package io.splitcompute.catalog;

import io.micronaut.serde.annotation.Serdeable;
import java.util.List;

/**
 * OpenAI's list of models.
 *
 * @param object always {@code list}
 * @param data the models, by name
 */
@Serdeable
public record ModelList(String object, List<ModelObject> data) {}
