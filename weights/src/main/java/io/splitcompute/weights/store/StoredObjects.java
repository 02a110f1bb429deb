package io.splitcompute.weights.store;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.S3Exception;

/** The objects of a store as they lie there, unchecked and past any cache. */
@FunctionalInterface
public interface StoredObjects {

  /**
   * Opens an object to be read from front to end.
   *
   * @return empty if there is none of that key
   * @throws IOException if the store cannot be read
   */
  Optional<InputStream> open(String key) throws IOException;

  /** The files of a folder. */
  static StoredObjects of(FolderStore folder) {
    return key -> {
      Path file = folder.path(key);
      try {
        return Optional.of(Files.newInputStream(file));
      } catch (NoSuchFileException absent) {
        return Optional.empty();
      }
    };
  }

  /** The objects of a bucket. */
  static StoredObjects of(S3Client s3, String bucket) {
    return key -> {
      try {
        return Optional.of(s3.getObject(request -> request.bucket(bucket).key(key)));
      } catch (S3Exception refused) {
        if (Absence.isMeantBy(refused)) {
          return Optional.empty();
        }
        throw unreadable(bucket, key, refused);
      } catch (SdkException failed) {
        throw unreadable(bucket, key, failed);
      }
    };
  }

  private static IOException unreadable(String bucket, String key, SdkException cause) {
    return new IOException(
        "%s cannot be read from the bucket %s: %s".formatted(key, bucket, cause.getMessage()),
        cause);
  }
}
