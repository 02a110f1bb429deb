package io.splitcompute.weights.cli;

import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.Optional;

/** What went wrong, in one line. */
public final class FailureText {

  private FailureText() {}

  public static String of(Throwable failure) {
    if (failure instanceof UncheckedIOException unchecked) {
      return of(Optional.<Throwable>ofNullable(unchecked.getCause()).orElse(unchecked));
    }
    String text =
        failure instanceof FileSystemException file
            ? ofFile(file)
            : Optional.ofNullable(failure.getMessage()).orElse(failure.toString());
    return String.join(" ", text.lines().map(String::strip).toList());
  }

  /** The messages of these are paths and nothing else. */
  private static String ofFile(FileSystemException failure) {
    if (failure instanceof NoSuchFileException) {
      return failure.getFile() + " does not exist";
    }
    if (failure instanceof AccessDeniedException) {
      return failure.getFile() + " must not be read or written by this user";
    }
    if (failure instanceof FileAlreadyExistsException || failure instanceof NotDirectoryException) {
      return failure.getFile() + " is a file where a folder is needed";
    }
    return String.valueOf(failure.getMessage());
  }
}
