package io.splitcompute.catalog;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.micronaut.serde.annotation.Serdeable;
import java.util.List;

/**
 * OpenAI's list of models.
 *
 * @param object always {@code list}
 * @param data the models, by name
 */
@Serdeable
@JsonInclude(JsonInclude.Include.ALWAYS)
public record ModelList(String object, List<ModelObject> data) {}
