package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.UploadPartResponse;

/**
 * Sends a shard: in one request, or in parts where it is larger than one, so that a line that
 * breaks costs a part. S3 compares what arrives with its SHA-256: what changed on its way is not
 * stored. An upload in parts that does not end is given up, whatever ends it, since its parts would
 * cost money unseen.
 */
final class ShardUpload {

  private static final String TYPE = "application/octet-stream";

  private final S3Client s3;
  private final String bucket;
  private final String cacheControl;
  private final long partBytes;

  ShardUpload(S3Client s3, String bucket, String cacheControl, long partBytes) {
    this.s3 = s3;
    this.bucket = bucket;
    this.cacheControl = cacheControl;
    this.partBytes = partBytes;
  }

  /**
   * @param file the shard, of which the SHA-256 was checked
   * @param count told of bytes that are on their way
   * @throws SdkException if the bucket refuses
   * @throws java.io.InterruptedIOException if the work is given up
   */
  void send(Path file, String key, Manifest.Shard shard, ByteCount count) throws IOException {
    count.requireWanted();
    if (shard.bytes() <= partBytes) {
      s3.putObject(
          request ->
              request
                  .bucket(bucket)
                  .key(key)
                  .contentType(TYPE)
                  .cacheControl(cacheControl)
                  .checksumSHA256(base64(HexFormat.of().parseHex(shard.sha256()))),
          body(file, 0, shard.bytes(), count));
      return;
    }
    String upload =
        s3.createMultipartUpload(
                request ->
                    request
                        .bucket(bucket)
                        .key(key)
                        .contentType(TYPE)
                        .cacheControl(cacheControl)
                        .checksumAlgorithm(ChecksumAlgorithm.SHA256))
            .uploadId();
    try {
      List<CompletedPart> parts = sendParts(file, key, shard.bytes(), upload, count);
      s3.completeMultipartUpload(
          request ->
              request
                  .bucket(bucket)
                  .key(key)
                  .uploadId(upload)
                  .multipartUpload(completed -> completed.parts(parts)));
    } catch (IOException | RuntimeException failed) {
      giveUp(key, upload, failed);
      throw failed;
    }
  }

  private List<CompletedPart> sendParts(
      Path file, String key, long bytes, String upload, ByteCount count) throws IOException {
    List<CompletedPart> parts = new ArrayList<>();
    for (long offset = 0; offset < bytes; offset += partBytes) {
      long from = offset;
      long length = Math.min(partBytes, bytes - offset);
      int number = parts.size() + 1;
      String checksum = base64(sha256(file, from, length));
      UploadPartResponse sent =
          s3.uploadPart(
              request ->
                  request
                      .bucket(bucket)
                      .key(key)
                      .uploadId(upload)
                      .partNumber(number)
                      .checksumSHA256(checksum),
              body(file, from, length, count));
      parts.add(
          CompletedPart.builder()
              .partNumber(number)
              .eTag(sent.eTag())
              .checksumSHA256(checksum)
              .build());
    }
    return parts;
  }

  private void giveUp(String key, String upload, Exception cause) {
    try {
      s3.abortMultipartUpload(request -> request.bucket(bucket).key(key).uploadId(upload));
    } catch (SdkException left) {
      cause.addSuppressed(left);
    }
  }

  private static RequestBody body(Path file, long offset, long bytes, ByteCount count) {
    return RequestBody.fromContentProvider(
        new CountedFile(file, offset, bytes, count), bytes, TYPE);
  }

  private static byte[] sha256(Path file, long offset, long bytes) throws IOException {
    MessageDigest digest = Sha256.digest();
    // Read to be hashed, not sent: nobody is told of it.
    ByteCount untold = new ByteCount((done, all) -> {}, bytes);
    try (InputStream in = new CountedFile(file, offset, bytes, untold).newStream()) {
      byte[] buffer = new byte[1 << 16];
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        digest.update(buffer, 0, read);
      }
    }
    return digest.digest();
  }

  private static String base64(byte[] hash) {
    return Base64.getEncoder().encodeToString(hash);
  }
}
