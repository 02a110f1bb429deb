package io.splitcompute.catalog;

import com.fasterxml.jackson.databind.JsonNode;
import io.micronaut.serde.annotation.Serdeable;
import io.splitcompute.api.JsonBody;
import io.splitcompute.api.ProblemException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Asks for the URLs of shards.
 *
 * @param shards SHA-256 of each shard in lower-case hex, 1 to 16 of them
 */
@Serdeable
public record ShardRequest(List<String> shards) {

  private static final int MOST = 16;
  private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

  static ShardRequest parse(byte @Nullable [] body) {
    JsonNode shards = JsonBody.parse(body, Set.of("shards")).required("shards");
    if (!shards.isArray() || shards.isEmpty() || shards.size() > MOST) {
      throw ProblemException.invalid(
          "shards", "The field 'shards' must be a list of 1 to " + MOST + " SHA-256 hashes");
    }
    List<String> hashes = new ArrayList<>();
    for (JsonNode shard : shards) {
      if (!shard.isTextual() || !SHA256.matcher(shard.textValue()).matches()) {
        throw ProblemException.invalid(
            "shards", "Each of 'shards' must be a SHA-256 of 64 lower-case hex digits");
      }
      hashes.add(shard.textValue());
    }
    return new ShardRequest(List.copyOf(hashes));
  }
}
