package io.splitcompute.weights.hub;

import io.splitcompute.weights.store.ByteProgress;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** Brings one file of the hub to a folder, by way of a partial file that is resumed. */
final class HubDownload {

  private final Hub hub;
  private final HubModel model;
  private final HubFile file;
  private final Path target;
  private final Path partial;
  private long progressedTo;

  HubDownload(Hub hub, HubModel model, HubFile file, Path folder) {
    this.hub = hub;
    this.model = model;
    this.file = file;
    this.target = folder.resolve(file.path());
    // Named by the hash, so that it is never continued with another revision's bytes.
    this.partial =
        folder.resolve(file.path() + "." + file.hash().hex().substring(0, 16) + ".partial");
  }

  /** Where the file's bytes are until it is whole. */
  Path partial() {
    return partial;
  }

  /** Bytes of the file. */
  long bytes() {
    return file.bytes();
  }

  /** Bytes that are not on disk yet. */
  long missing() throws IOException {
    return Math.max(0, file.bytes() - (Files.exists(partial) ? Files.size(partial) : 0));
  }

  /**
   * @throws HubException if the bytes are not those that the hub announced
   */
  void run(Retries retries, ByteProgress progress) throws IOException {
    if (target.getParent() != null) {
      Files.createDirectories(target.getParent());
    }
    retries.of(
        () -> {
          fetch(progress);
          return true;
        },
        this::progressed);
    if (!file.is(partial)) {
      Files.delete(partial);
      throw new HubException(
          "%s of %s is not what the hub announced (its hash differs); pull again"
              .formatted(file.path(), model.name()));
    }
    Files.move(
        partial, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private boolean progressed() {
    try {
      long now = Files.exists(partial) ? Files.size(partial) : 0;
      boolean further = now > progressedTo;
      progressedTo = now;
      return further;
    } catch (IOException unknown) {
      return false;
    }
  }

  private void fetch(ByteProgress progress) throws IOException {
    long have = Files.exists(partial) ? Files.size(partial) : 0;
    if (have > file.bytes()) {
      Files.delete(partial);
      have = 0;
    }
    progress.at(have, file.bytes());
    if (have == file.bytes() && Files.exists(partial)) {
      return;
    }
    HttpURLConnection answer = hub.open(model, file, have);
    try (InputStream in = answer.getInputStream()) {
      boolean continues = continuesAt(answer, have);
      append(in, continues ? have : 0, progress);
    } finally {
      answer.disconnect();
    }
  }

  /** A server may ignore the range and send the whole file. */
  private boolean continuesAt(HttpURLConnection answer, long offset) throws IOException {
    if (answer.getResponseCode() != HttpURLConnection.HTTP_PARTIAL) {
      return false;
    }
    String range = answer.getHeaderField("Content-Range");
    if (range == null || !range.startsWith("bytes " + offset + "-")) {
      throw new HubException("the hub answers another range than the one that was asked for");
    }
    return true;
  }

  private void append(InputStream in, long from, ByteProgress progress) throws IOException {
    long done = from;
    try (OutputStream out =
        Files.newOutputStream(
            partial,
            StandardOpenOption.CREATE,
            StandardOpenOption.WRITE,
            from > 0 ? StandardOpenOption.APPEND : StandardOpenOption.TRUNCATE_EXISTING)) {
      byte[] buffer = new byte[1 << 16];
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        done += read;
        if (done > file.bytes()) {
          throw tooLong();
        }
        out.write(buffer, 0, read);
        progress.at(done, file.bytes());
      }
    } catch (HubException lie) {
      Files.deleteIfExists(partial);
      throw lie;
    }
    if (done < file.bytes()) {
      throw new IOException("%s ended at byte %d of %d".formatted(file.path(), done, file.bytes()));
    }
  }

  private HubException tooLong() {
    return new HubException(
        "%s of %s has more bytes than the hub announced".formatted(file.path(), model.name()));
  }
}
