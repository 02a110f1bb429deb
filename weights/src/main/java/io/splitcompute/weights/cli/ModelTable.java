package io.splitcompute.weights.cli;

import io.splitcompute.weights.DeviceNeed;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.PublishedManifest;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Models as tables: a row a unit, a column a dtype. */
final class ModelTable {

  private ModelTable() {}

  static String of(List<PublishedManifest> manifests) {
    return String.join("\n", manifests.stream().map(ModelTable::table).toList());
  }

  private static String table(PublishedManifest published) {
    Manifest manifest = published.manifest();
    List<List<String>> rows = new ArrayList<>();
    List<String> head = new ArrayList<>(List.of("unit"));
    head.addAll(manifest.dtypes());
    rows.add(head);
    for (Manifest.Unit unit : manifest.units()) {
      List<String> row = new ArrayList<>(List.of(unit.name()));
      manifest.dtypes().forEach(dtype -> row.add(Bytes.of(unit.variant(dtype).bytes())));
      rows.add(row);
    }
    List<String> total = new ArrayList<>(List.of("all units"));
    for (String dtype : manifest.dtypes()) {
      total.add(Bytes.of(manifest.units().stream().mapToLong(u -> u.variant(dtype).bytes()).sum()));
    }
    rows.add(total);
    StringBuilder table =
        new StringBuilder(Summary.of(manifest, published.revision())).append('\n');
    rows.forEach(row -> table.append(line(row)).append('\n'));
    table
        .append("tokenizer   ")
        .append(
            manifest.tokenizer() == null
                ? "none: token ids alone"
                : Bytes.of(manifest.tokenizer().bytes()))
        .append('\n');
    needs(manifest).forEach(row -> table.append(line(row)).append('\n'));
    return table.toString();
  }

  /** What a device fetches to run the layers from a cut on, and what its GPU then holds. */
  private static List<List<String>> needs(Manifest manifest) {
    List<List<String>> rows = new ArrayList<>();
    List<String> head = new ArrayList<>(List.of("device from"));
    for (String dtype : manifest.dtypes()) {
      head.add(dtype);
      head.add("on the GPU");
    }
    rows.add(head);
    for (int cut = 0; cut < manifest.layers(); cut++) {
      List<String> row = new ArrayList<>(List.of("cut " + cut));
      for (String dtype : manifest.dtypes()) {
        DeviceNeed need = DeviceNeed.ofCuts(manifest, dtype).get(cut);
        row.add(Bytes.of(need.bytes()));
        row.add(Bytes.of(need.memory()));
      }
      rows.add(row);
    }
    return rows;
  }

  private static String line(List<String> cells) {
    StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%-12s", cells.get(0)));
    cells.stream().skip(1).forEach(cell -> line.append(String.format(Locale.ROOT, "%12s", cell)));
    return line.toString();
  }
}
