package io.splitcompute.head.message;

import io.micronaut.context.annotation.Property;
import io.micronaut.context.annotation.Requires;
import jakarta.inject.Singleton;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.UUID;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.s3.presigner.model.PresignedGetObjectRequest;

/**
 * Hands over messages that are too large for a response. A text can be recovered from its
 * activations, so the bucket holds nothing else, expires within a day and its URLs live minutes.
 */
@Singleton
@Requires(property = ActivationsBucket.PROPERTY)
public final class ActivationsBucket {

  static final String PROPERTY = "splitcompute.activations-bucket";

  private static final Duration LIFETIME = Duration.ofMinutes(5);

  private final S3Client s3;
  private final S3Presigner presigner;
  private final String bucket;

  ActivationsBucket(S3Client s3, S3Presigner presigner, @Property(name = PROPERTY) String bucket) {
    this.s3 = s3;
    this.presigner = presigner;
    this.bucket = bucket;
  }

  /** Stores a message under a fresh key. */
  public ActivationsLocation put(byte[] message) {
    String key = "activations/" + UUID.randomUUID() + ".safetensors";
    s3.putObject(
        request -> request.bucket(bucket).key(key).contentType(ActivationsMessage.MEDIA_TYPE),
        RequestBody.fromBytes(message));
    PresignedGetObjectRequest signed =
        presigner.presignGetObject(
            request ->
                request
                    .signatureDuration(LIFETIME)
                    .getObjectRequest(get -> get.bucket(bucket).key(key)));
    return new ActivationsLocation(
        signed.url().toString(), message.length, sha256(message), signed.expiration());
  }

  private static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
