package io.splitcompute.weights.store;

import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.awscore.exception.AwsErrorDetails;
import software.amazon.awssdk.services.s3.model.S3Exception;

/** How S3 says that an object is not there. */
final class Absence {

  private static final int FORBIDDEN = 403;
  private static final int NOT_FOUND = 404;

  private Absence() {}

  /**
   * Whoever may not list a bucket is answered 403 for an object that is not there; credentials that
   * are wrong or expired are answered 403 as well, with another code. Without a body, as for HEAD,
   * there is no code.
   */
  static boolean isMeantBy(S3Exception refused) {
    return refused.statusCode() == NOT_FOUND
        || (refused.statusCode() == FORBIDDEN && isAccessDenied(refused.awsErrorDetails()));
  }

  /** Whether what is taken for absence may as well be a missing permission. */
  static boolean isDoubtful(S3Exception absent) {
    return absent.statusCode() == FORBIDDEN;
  }

  private static boolean isAccessDenied(@Nullable AwsErrorDetails details) {
    return details == null
        || details.errorCode() == null
        || details.errorCode().isEmpty()
        || details.errorCode().equals("AccessDenied");
  }
}
