package io.splitcompute.infra;

import java.util.Arrays;
import java.util.stream.Collectors;

/** What runs the head; the context value {@code head} picks one. */
public enum HeadHost {
  /** A Lambda function on CPUs, which costs nothing while nobody asks. */
  LAMBDA("lambda"),
  /** Containers on GPU instances of a cluster, from none or one to many. */
  ECS_GPU("ecs-gpu"),
  /** A Lambda function on instances with a GPU that Lambda manages. */
  LAMBDA_GPU("lambda-gpu");

  private final String word;

  HeadHost(String word) {
    this.word = word;
  }

  /** As it is written in the context. */
  public String word() {
    return word;
  }

  /**
   * @throws IllegalArgumentException with the words there are, if it is none of them
   */
  static HeadHost of(String word) {
    return Arrays.stream(values())
        .filter(host -> host.word.equals(word))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "head must be one of "
                        + Arrays.stream(values())
                            .map(HeadHost::word)
                            .collect(Collectors.joining(", "))
                        + ", not "
                        + word));
  }
}
