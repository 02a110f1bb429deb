package io.splitcompute.catalog;

import io.micronaut.serde.annotation.Serdeable;
import java.time.Instant;
import java.util.List;

/**
 * Where shards can be fetched for some minutes.
 *
 * @param urls one for each shard that was asked for, in that order
 */
@Serdeable
public record ShardUrls(List<ShardUrl> urls) {

  /**
   * @param sha256 the shard
   * @param url a presigned URL for GET, with or without {@code Range}
   * @param expires when the URL stops working; ask again then, and go on at the same byte
   */
  @Serdeable
  public record ShardUrl(String sha256, String url, Instant expires) {}
}
