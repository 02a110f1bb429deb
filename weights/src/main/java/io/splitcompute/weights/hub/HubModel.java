package io.splitcompute.weights.hub;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.hub.HubFile.GitBlob;
import io.splitcompute.weights.hub.HubFile.Hash;
import io.splitcompute.weights.hub.HubFile.Lfs;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * One revision of a model on the hub.
 *
 * @param name {@code owner/name}, as the hub calls it
 * @param commit the revision, a git commit
 * @param files all of them, also those that no checkpoint needs
 */
record HubModel(String name, String commit, List<HubFile> files) {

  private static final String WEIGHTS = "model.safetensors";

  /** Far beyond a tokenizer of a quarter of a million tokens. */
  private static final long MOST_BYTES_BESIDE = 64 << 20;

  private static final Pattern SHARDED =
      Pattern.compile("model\\.safetensors\\.index\\.json|model-\\d{5}-of-\\d{5}\\.safetensors");

  /** What a checkpoint has beside its weights, in its own folder. */
  private static final Pattern BESIDE =
      Pattern.compile(
          "config\\.json|tokenizer\\.json|tokenizer_config\\.json|modules\\.json"
              + "|sentence_bert_config\\.json|config_sentence_transformers\\.json");

  /** The pooling may be described in a folder of any plain name: {@code modules.json} has it. */
  private static final Pattern STEP =
      Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/config\\.json");

  /** The folder of a step by the name that sentence-transformers gives it. */
  private static final Pattern NUMBERED_STEP = Pattern.compile("\\d+_[A-Za-z]+/config\\.json");

  private static final Pattern PARTIAL = Pattern.compile("\\.[0-9a-f]{16}\\.partial$");

  /**
   * Reads the hub's answer to {@code /api/models/<name>/revision/<revision>?blobs=true}.
   *
   * @throws HubException if it is not such an answer
   */
  static HubModel of(JsonNode answer) throws HubException {
    List<HubFile> files = new ArrayList<>();
    for (JsonNode sibling : answer.path("siblings")) {
      files.add(file(sibling));
    }
    return new HubModel(
        matching(answer.path("id"), "[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?"),
        matching(answer.path("sha"), "[0-9a-f]{40}"),
        List.copyOf(files));
  }

  private static HubFile file(JsonNode sibling) throws HubException {
    JsonNode lfs = sibling.path("lfs");
    Hash hash =
        lfs.isObject()
            ? new Lfs(matching(lfs.path("sha256"), "[0-9a-f]{64}"))
            : new GitBlob(matching(sibling.path("blobId"), "[0-9a-f]{40}"));
    JsonNode bytes = sibling.path("size");
    if (!bytes.isIntegralNumber() || !bytes.canConvertToLong() || bytes.longValue() < 0) {
      throw new HubException("the hub lists a file without its size");
    }
    return new HubFile(sibling.path("rfilename").asText(), bytes.longValue(), hash);
  }

  private static String matching(JsonNode node, String pattern) throws HubException {
    if (!node.isTextual() || !node.textValue().matches(pattern)) {
      throw new HubException("the hub's description of the model is not what its API documents");
    }
    return node.textValue();
  }

  /**
   * The files that make a checkpoint, the small ones first: what is wrong with a config shows
   * before gigabytes are fetched. Only names that are known are taken, so none leads out of a
   * folder.
   *
   * @throws HubException if there are no weights in safetensors, or a file beside them is larger
   *     than any such file
   */
  List<HubFile> checkpoint() throws HubException {
    boolean whole = files.stream().anyMatch(file -> file.path().equals(WEIGHTS));
    List<HubFile> weights =
        files.stream()
            .filter(
                file ->
                    whole ? file.path().equals(WEIGHTS) : SHARDED.matcher(file.path()).matches())
            .toList();
    if (weights.stream().noneMatch(file -> file.path().endsWith(".safetensors"))) {
      throw new HubException(
          name + " has no weights in safetensors; convert them and give the folder to 'shard'");
    }
    List<HubFile> needed =
        new ArrayList<>(files.stream().filter(file -> isBeside(file.path())).toList());
    if (needed.stream().noneMatch(file -> file.path().equals("config.json"))) {
      throw new HubException(name + " has no config.json");
    }
    needed.addAll(weights);
    for (HubFile file : needed) {
      if (!file.path().endsWith(".safetensors") && file.bytes() > MOST_BYTES_BESIDE) {
        throw new HubException(
            "%s has %d bytes in %s, at most %d are taken"
                .formatted(name, file.bytes(), file.path(), MOST_BYTES_BESIDE));
      }
    }
    return List.copyOf(needed);
  }

  /** Whether it is the beginning of a file, on its way. */
  static boolean isPartial(String path) {
    return PARTIAL.matcher(path).find();
  }

  private static boolean isBeside(String path) {
    return BESIDE.matcher(path).matches() || STEP.matcher(path).matches();
  }

  /**
   * Whether a file of a checkpoint's folder would be read as a part of it, or is the beginning of
   * such a file. Folders other than those that sentence-transformers writes are their owner's.
   */
  static boolean isPart(String path) {
    String whole = PARTIAL.matcher(path).replaceFirst("");
    return whole.equals(WEIGHTS)
        || SHARDED.matcher(whole).matches()
        || BESIDE.matcher(whole).matches()
        || NUMBERED_STEP.matcher(whole).matches();
  }
}
