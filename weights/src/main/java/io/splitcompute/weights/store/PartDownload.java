package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/**
 * Fetches shards part by part, many at once: one connection to S3 gives but a fraction of what the
 * network can. Each part is checked as it comes, so a damaged one is told from the rest.
 */
final class PartDownload {

  private static final int AT_ONCE = 16;

  private final S3Client s3;
  private final String bucket;
  private final ExecutorService connections =
      Executors.newFixedThreadPool(
          AT_ONCE,
          work -> {
            Thread thread = new Thread(work, "shard-part");
            thread.setDaemon(true);
            return thread;
          });

  PartDownload(S3Client s3, String bucket) {
    this.s3 = s3;
    this.bucket = bucket;
  }

  /**
   * @throws IOException if a part cannot be fetched or is not what the manifest says
   */
  void fetch(Manifest.Shard shard, Path into) throws IOException {
    try (FileChannel file = FileChannel.open(into, StandardOpenOption.WRITE)) {
      // As long as this process lives: by the lock another one tells that it does.
      FileLock unused = file.lock();
      List<Future<?>> parts = new ArrayList<>();
      for (Manifest.Part part : shard.parts()) {
        parts.add(
            connections.submit(
                () -> {
                  fetch(shard, part, file);
                  return null;
                }));
      }
      try {
        for (Future<?> part : parts) {
          part.get();
        }
      } finally {
        // Before the file is closed: a part that is on its way writes to it.
        parts.forEach(part -> part.cancel(true));
      }
    } catch (ExecutionException failed) {
      if (failed.getCause() instanceof IOException broken) {
        throw broken;
      }
      throw new IOException(
          "the shard " + shard.sha256() + " cannot be fetched: " + failed.getCause(), failed);
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
      throw new IOException("stopped while the shard " + shard.sha256() + " was fetched", stopped);
    }
  }

  /** Whether a process that lives is fetching into a file; also where that cannot be told. */
  static boolean isWriting(Path into) {
    try (FileChannel file = FileChannel.open(into, StandardOpenOption.WRITE);
        FileLock free = file.tryLock()) {
      return free == null;
    } catch (IOException | OverlappingFileLockException unknown) {
      return true;
    }
  }

  private void fetch(Manifest.Shard shard, Manifest.Part part, FileChannel file)
      throws IOException {
    String range = "bytes=" + part.offset() + "-" + (part.offset() + part.bytes() - 1);
    byte[] bytes;
    try (ResponseInputStream<GetObjectResponse> body =
        s3.getObject(
            request -> request.bucket(bucket).key(StoreKeys.shard(shard.sha256())).range(range))) {
      bytes = body.readNBytes(Math.toIntExact(part.bytes() + 1));
    } catch (SdkException failed) {
      throw new IOException(
          "the shard " + shard.sha256() + " cannot be fetched: " + failed.getMessage(), failed);
    }
    if (bytes.length != part.bytes() || !Sha256.of(bytes).equals(part.sha256())) {
      throw new IOException(
          "the shard "
              + shard.sha256()
              + " has other bytes than its manifest says, from offset "
              + part.offset()
              + " on; publish the model again");
    }
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    long at = part.offset();
    while (buffer.hasRemaining()) {
      at += file.write(buffer, at);
    }
  }
}
