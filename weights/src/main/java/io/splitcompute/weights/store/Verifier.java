package io.splitcompute.weights.store;

import io.splitcompute.weights.InvalidManifestException;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** Reads every object of a model and compares it with what the manifest says of it. */
public final class Verifier {

  private static final int MAX_MANIFEST_BYTES = 16 << 20;
  private static final int BUFFER_BYTES = 1 << 16;

  private final StoredObjects objects;

  public Verifier(StoredObjects objects) {
    this.objects = objects;
  }

  /**
   * Something that is not as it must be.
   *
   * @param key of the object
   * @param belongsTo what the object is for, as {@code layer.3 f16}
   * @param problem what is wrong with it
   */
  public record Finding(String key, String belongsTo, String problem) {
    @Override
    public String toString() {
      return key + " (" + belongsTo + ") " + problem;
    }
  }

  /**
   * Verifies a model's current revision: both manifests, and of each shard the length, the SHA-256
   * and the SHA-256 of every part.
   *
   * @param progress told the bytes of shards that are compared
   * @return what is wrong; empty if all is well
   * @throws IOException if the store cannot be read
   */
  public List<Finding> verify(ModelName model, ByteProgress progress) throws IOException {
    List<Finding> findings = new ArrayList<>();
    String key = StoreKeys.manifest(model);
    Optional<byte[]> bytes = small(key);
    if (bytes.isEmpty()) {
      return List.of(new Finding(key, "the current manifest", "is missing"));
    }
    Manifest manifest;
    try {
      manifest = PublishedManifest.of(bytes.get(), Instant.EPOCH).manifest();
    } catch (InvalidManifestException invalid) {
      return List.of(
          new Finding(key, "the current manifest", "is not valid: " + invalid.getMessage()));
    }
    if (!manifest.model().equals(model)) {
      findings.add(
          new Finding(key, "the current manifest", "is the model " + manifest.model() + "'s"));
    }
    verifyRevision(model, bytes.get(), findings);
    List<UsedShard> shards = UsedShard.of(manifest);
    ByteCount count = new ByteCount(progress, UsedShard.bytes(shards));
    for (UsedShard used : shards) {
      Optional<String> problem = problem(used.shard(), count);
      problem.ifPresent(
          what ->
              findings.add(new Finding(StoreKeys.shard(used.shard().sha256()), used.use(), what)));
    }
    return List.copyOf(findings);
  }

  private void verifyRevision(ModelName model, byte[] current, List<Finding> findings)
      throws IOException {
    String key = StoreKeys.manifest(model, Sha256.of(current));
    Optional<byte[]> kept = small(key);
    if (kept.isEmpty()) {
      findings.add(new Finding(key, "the revision's manifest", "is missing"));
    } else if (!Arrays.equals(kept.get(), current)) {
      findings.add(new Finding(key, "the revision's manifest", "is not the current manifest"));
    }
  }

  private Optional<String> problem(Manifest.Shard shard, ByteCount count) throws IOException {
    Optional<InputStream> object = objects.open(StoreKeys.shard(shard.sha256()));
    if (object.isEmpty()) {
      count.add(shard.bytes());
      return Optional.of("is missing");
    }
    try (InputStream in = object.get()) {
      MessageDigest whole = Sha256.digest();
      List<String> otherParts = new ArrayList<>();
      long bytes = 0;
      for (Manifest.Part part : shard.parts()) {
        MessageDigest digest = Sha256.digest();
        bytes += hash(in, part.bytes(), whole, digest);
        count.add(part.bytes());
        if (!Sha256.hex(digest.digest()).equals(part.sha256())) {
          otherParts.add(part.offset() + " to " + (part.offset() + part.bytes()));
        }
      }
      bytes += hash(in, Long.MAX_VALUE, whole, Sha256.digest());
      if (bytes != shard.bytes()) {
        return Optional.of("has %d bytes instead of %d".formatted(bytes, shard.bytes()));
      }
      if (!otherParts.isEmpty()) {
        return Optional.of("has other bytes at " + String.join(", ", otherParts));
      }
      return Sha256.hex(whole.digest()).equals(shard.sha256())
          ? Optional.empty()
          : Optional.of("has parts that are right and a SHA-256 that is not");
    }
  }

  /** Hashes at most so many bytes and says how many there were. */
  private static long hash(InputStream in, long most, MessageDigest whole, MessageDigest part)
      throws IOException {
    byte[] buffer = new byte[BUFFER_BYTES];
    long done = 0;
    while (done < most) {
      int read = in.read(buffer, 0, (int) Math.min(buffer.length, most - done));
      if (read < 0) {
        break;
      }
      whole.update(buffer, 0, read);
      part.update(buffer, 0, read);
      done += read;
    }
    return done;
  }

  private Optional<byte[]> small(String key) throws IOException {
    Optional<InputStream> object = objects.open(key);
    if (object.isEmpty()) {
      return Optional.empty();
    }
    try (InputStream in = object.get()) {
      return Optional.of(in.readNBytes(MAX_MANIFEST_BYTES + 1));
    }
  }
}
