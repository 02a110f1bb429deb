package io.splitcompute.weights.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.store.ByteProgress;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The Hugging Face hub, or a mirror of it. Its API: <a
 * href="https://huggingface.co/docs/hub/api">huggingface.co/docs/hub/api</a>.
 */
public final class Hub {

  private static final int MOST_REDIRECTS = 5;
  private static final int MOST_LISTING_BYTES = 16 << 20;
  private static final int MOST_PORT = 65_535;

  /** Asks for the files' sizes and hashes. */
  private static final String LISTING_QUERY = "blobs=true";

  /** In a folder whose checkpoint a pull has put there, and which that was. */
  private static final String MARK = ".splitcompute-pull";

  private final URI endpoint;
  private final Optional<String> token;
  private final Retries retries;
  private final Duration timeout;

  private Hub(URI endpoint, Optional<String> token, Retries retries, Duration timeout) {
    this.endpoint = endpoint;
    this.token = token.map(String::strip).filter(secret -> !secret.isEmpty());
    this.retries = retries;
    this.timeout = timeout;
  }

  /** Told when a failure is waited out. */
  @FunctionalInterface
  public interface Waits {
    /**
     * @param failed what is tried again after the wait
     */
    void begin(IOException failed, Duration wait);
  }

  /**
   * @param endpoint where the hub is
   * @param token of a user, for gated and private models; sent to the endpoint's host alone
   * @param waits told of each wait
   */
  public static Hub at(URI endpoint, Optional<String> token, Waits waits) {
    return new Hub(endpoint, token, Retries.patient(waits), Duration.ofSeconds(30));
  }

  /** As {@link #at}, with waits that a test can afford. */
  static Hub impatient(URI endpoint, Optional<String> token, Duration timeout) {
    return new Hub(endpoint, token, Retries.impatient((failed, wait) -> {}), timeout);
  }

  /**
   * Fetches a checkpoint into a folder. What is there and right already is not fetched again, and
   * what was begun goes on where it stopped. A file has its name only once it is whole and its hash
   * is right. What a pull of another revision left in the folder and a checkpoint is read from goes
   * first, so that the folder is never a mixture of the two. A checkpoint that no pull has put
   * there is its owner's: it stays, and nothing is fetched.
   *
   * @param name {@code owner/name}, or a name alone for the hub's oldest models
   * @param revision a branch, tag or commit
   * @return the commit that was fetched
   * @throws HubException if there is no such model, it needs a token, the token is none, it is no
   *     checkpoint in safetensors, the hub sends something else than it announced, or the folder
   *     has another checkpoint that was not pulled
   * @throws IOException if the hub cannot be reached or the folder cannot be written
   */
  public String pull(String name, String revision, Path folder, ByteProgress progress)
      throws IOException {
    // A connection would refuse it too, and say the secret.
    if (!token.map(secret -> secret.matches("[!-~]+")).orElse(true)) {
      throw new HubException("the token in HF_TOKEN has characters that no token has");
    }
    HubModel model = model(name, revision);
    long all = 0;
    long before = 0;
    Set<Path> kept = new HashSet<>();
    List<HubDownload> downloads = new ArrayList<>();
    Files.createDirectories(folder);
    for (HubFile file : model.checkpoint()) {
      all = sum(all, file.bytes());
      if (file.is(folder.resolve(file.path()))) {
        before += file.bytes();
        kept.add(folder.resolve(file.path()));
      } else {
        HubDownload download = new HubDownload(this, model, file, folder);
        downloads.add(download);
        kept.add(download.partial());
      }
    }
    List<Path> others = otherParts(folder, kept);
    requirePulled(folder, others);
    requireRoom(folder, downloads);
    Files.writeString(folder.resolve(MARK), model.name() + "@" + model.commit() + "\n");
    for (Path other : others) {
      Files.delete(other);
    }
    long whole = all;
    progress.at(before, whole);
    for (HubDownload download : downloads) {
      long done = before;
      download.run(retries, (bytes, ofFile) -> progress.at(done + bytes, whole));
      before += download.bytes();
    }
    return model.commit();
  }

  private static void requireRoom(Path folder, List<HubDownload> downloads) throws IOException {
    long missing = 0;
    for (HubDownload download : downloads) {
      missing += download.missing();
    }
    long room = Files.getFileStore(folder).getUsableSpace();
    if (missing > room) {
      throw new HubException(
          "%d MB are to be fetched, but %s has room for %d MB"
              .formatted(missing / 1_000_000, folder, room / 1_000_000));
    }
  }

  private static long sum(long bytes, long more) throws HubException {
    try {
      return Math.addExact(bytes, more);
    } catch (ArithmeticException tooMany) {
      throw new HubException("the hub announces more bytes than there can be");
    }
  }

  private static void requirePulled(Path folder, List<Path> others) throws HubException {
    Optional<Path> foreign =
        others.stream().filter(other -> !HubModel.isPartial(other.toString())).findFirst();
    if (foreign.isPresent() && !Files.exists(folder.resolve(MARK))) {
      throw new HubException(
          "%s is no file of a pull, and would be lost; name an empty folder"
              .formatted(foreign.get()));
    }
  }

  /** Files of the folder that a checkpoint is read from, but for these. */
  private static List<Path> otherParts(Path folder, Set<Path> kept) throws IOException {
    // The folder itself may be a link.
    Path real = folder.toRealPath();
    List<Path> others = new ArrayList<>();
    Files.walkFileTree(
        real,
        Set.of(),
        2,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            Path path = real.relativize(file);
            if (!attributes.isDirectory()
                && HubModel.isPart(path.toString().replace(File.separatorChar, '/'))
                && !kept.contains(folder.resolve(path))) {
              others.add(file);
            }
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFileFailed(Path file, IOException unreadable) {
            // A folder that is none of the checkpoint's.
            return FileVisitResult.CONTINUE;
          }
        });
    return others;
  }

  private HubModel model(String name, String revision) throws IOException {
    String path = "/api/models/" + name + "/revision/" + revision + "?" + LISTING_QUERY;
    return retries.ofFirst(
        () -> {
          HttpURLConnection connection = open(path, 0);
          try (InputStream in = connection.getInputStream()) {
            byte[] json = in.readNBytes(MOST_LISTING_BYTES + 1);
            if (json.length > MOST_LISTING_BYTES) {
              throw new HubException("the hub's description of " + name + " is too long");
            }
            return HubModel.of(parse(json));
          }
        });
  }

  private static JsonNode parse(byte[] json) throws HubException {
    try {
      return new JsonMapper().readTree(json);
    } catch (IOException notJson) {
      throw new HubException("the hub's description of the model is not JSON");
    }
  }

  /**
   * Asks for a file from a byte on.
   *
   * @return an answer 200 or 206 whose body has not been read
   */
  HttpURLConnection open(HubModel model, HubFile file, long offset) throws IOException {
    return open("/" + model.name() + "/resolve/" + model.commit() + "/" + file.path(), offset);
  }

  private HttpURLConnection open(String path, long offset) throws IOException {
    URI uri = URI.create(endpoint.toString().replaceAll("/+$", "") + path);
    for (int i = 0; i <= MOST_REDIRECTS; i++) {
      HttpURLConnection connection = connect(uri, offset);
      int status = connection.getResponseCode();
      String location = connection.getHeaderField("Location");
      if (status / 100 == 2) {
        return connection;
      }
      connection.disconnect();
      if (status / 100 != 3 || location == null) {
        throw refusal(status, connection);
      }
      URI next = withQuery(next(uri, location), uri);
      if (uri.getScheme().equals("https") && !"https".equals(next.getScheme())) {
        throw new HubException("the hub leads from https to " + next.getScheme());
      }
      uri = next;
    }
    throw new HubException("the hub redirects in a circle");
  }

  private static URI next(URI uri, String location) throws HubException {
    try {
      URI next = uri.resolve(location);
      if (String.valueOf(next.getScheme()).matches("https?")
          && next.getHost() != null
          && next.getPort() <= MOST_PORT) {
        return next;
      }
    } catch (IllegalArgumentException malformed) {
      // Said below, as of an address that is well formed and no better.
    }
    throw new HubException("the hub leads to an address that is not one of HTTP");
  }

  /**
   * The hub leads from a model's old name to its owner's. What the listing is to tell must not get
   * lost on the way; another host's address is its own.
   */
  private static URI withQuery(URI next, URI from) {
    return LISTING_QUERY.equals(from.getRawQuery())
            && next.getRawQuery() == null
            && from.getHost().equalsIgnoreCase(next.getHost())
        ? URI.create(next.toString().replaceFirst("#.*", "") + "?" + LISTING_QUERY)
        : next;
  }

  private HttpURLConnection connect(URI uri, long offset) throws IOException {
    if (!(uri.toURL().openConnection() instanceof HttpURLConnection connection)) {
      throw new HubException("the hub leads to " + uri.getScheme() + ", which is not HTTP");
    }
    connection.setInstanceFollowRedirects(false);
    connection.setConnectTimeout(Math.toIntExact(timeout.toMillis()));
    connection.setReadTimeout(Math.toIntExact(timeout.toMillis()));
    connection.setRequestProperty("User-Agent", "splitcompute-weights");
    // A file's bytes are hashed and counted as they are stored.
    connection.setRequestProperty("Accept-Encoding", "identity");
    if (offset > 0) {
      connection.setRequestProperty("Range", "bytes=" + offset + "-");
    }
    if (isEndpoint(uri)) {
      token.ifPresent(secret -> connection.setRequestProperty("Authorization", "Bearer " + secret));
    }
    try {
      connection.connect();
    } catch (UnknownHostException unknown) {
      // Its message is the host's name and nothing else.
      throw new Retries.Unreachable(unreachable(uri, "unknown host"), unknown);
    } catch (ConnectException refused) {
      throw new Retries.Unreachable(unreachable(uri, refused.getMessage()), refused);
    } catch (IOException failed) {
      throw new IOException(unreachable(uri, failed.getMessage()), failed);
    }
    return connection;
  }

  private static String unreachable(URI uri, @Nullable String why) {
    return "%s cannot be reached (%s): check the network, or copy the checkpoint's folder here and give it to 'shard'"
        .formatted(uri.getHost(), why);
  }

  private boolean isEndpoint(URI uri) {
    return endpoint.getScheme().equals(uri.getScheme())
        && endpoint.getAuthority().equals(uri.getAuthority());
  }

  private IOException refusal(int status, HttpURLConnection connection) {
    if (status == 429 || status >= 500) {
      return new Retries.Busy(
          "the hub answers " + status + "; try again later",
          connection.getHeaderField("Retry-After"));
    }
    if (status == 401 || status == 403) {
      // The hub does not tell a model that is hidden from one that does not exist.
      return new HubException(
          token.isPresent()
              ? "the hub has no such model, or the token in HF_TOKEN must not read it"
              : "the hub has no such model, or it needs a token: set HF_TOKEN");
    }
    return new HubException(
        status == 404
            ? "the hub has no such model or revision"
            : "the hub refuses the request with status " + status);
  }
}
